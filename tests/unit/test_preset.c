/*
 * preset: the table of protocols is complete and says what the product's reference says.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "config/preset.h"

static const struct {
    const char *key, *directory, *health_page;
    int idle, first_byte; /* seconds */
    bool bridged, published, strict;
} rows[] = {
    { "owa", "owa", "/owa/healthcheck.htm", 900, 600, false, true, false },
    { "ecp", "ecp", "/ecp/healthcheck.htm", 900, 600, false, true, false },
    { "ews", "EWS", "/EWS/healthcheck.htm", 2100, 2100, false, true, true },
    { "mapi", "mapi", "/mapi/healthcheck.htm", 1800, 120, false, true, false },
    { "rpc", "Rpc", "/rpc/healthcheck.htm", 3600, 0, false, true, false },
    { "oab", "OAB", "/OAB/healthcheck.htm", 600, 60, false, true, false },
    { "autodiscover", "Autodiscover", "/Autodiscover/healthcheck.htm", 300, 180, false, true,
        false },
    { "activesync", "Microsoft-Server-ActiveSync", "/Microsoft-Server-ActiveSync/healthcheck.htm",
        3660, 3660, false, true, false },
    { "mrsproxy", "EWS", "/EWS/healthcheck.htm", 3600, 3600, true, true, true },
    { "powershell", "PowerShell", "/PowerShell/healthcheck.htm", 900, 600, true, false, false },
};

Test(preset, has_ten_protocols_with_the_recommended_numbers)
{
    cr_assert_eq(sizeof(rows) / sizeof(rows[0]), PROTOCOL_COUNT);
    for (int i = 0; i < PROTOCOL_COUNT; i++) {
        const struct preset_route *route = preset_route((enum protocol)i);
        cr_expect_str_eq(route->key, rows[i].key, "row %d", i);
        cr_expect_str_eq(route->directory, rows[i].directory, "%s", rows[i].key);
        cr_expect_str_eq(route->health_page, rows[i].health_page, "%s", rows[i].key);
        cr_expect_eq(route->idle_ms, (int64_t)rows[i].idle * 1000, "%s", rows[i].key);
        cr_expect_eq(route->first_byte_ms, (int64_t)rows[i].first_byte * 1000, "%s", rows[i].key);
        cr_expect_eq(route->max_duration_ms, 0, "%s", rows[i].key);
        cr_expect_eq(route->bridged, rows[i].bridged, "%s", rows[i].key);
        cr_expect_eq(route->published, rows[i].published, "%s", rows[i].key);
        cr_expect_eq(route->strict, rows[i].strict, "%s", rows[i].key);
        cr_expect_eq(route->channel, i == PROTOCOL_RPC, "%s", rows[i].key);
        cr_expect_eq(preset_key(rows[i].key), (enum protocol)i, "%s", rows[i].key);
    }
}

Test(preset, finds_a_directory_in_any_case_and_only_whole)
{
    static const struct {
        const char *segment;
        enum protocol protocol;
    } segments[] = {
        { "OWA", PROTOCOL_OWA }, { "owa", PROTOCOL_OWA }, { "owa2", PROTOCOL_NONE },
        { "ow", PROTOCOL_NONE }, { "", PROTOCOL_NONE }, { "ews", PROTOCOL_EWS },
        { "eWs", PROTOCOL_EWS }, { "mrsproxy", PROTOCOL_NONE }, { "RPC", PROTOCOL_RPC },
        { "AutoDiscover", PROTOCOL_AUTODISCOVER }, { "activesync", PROTOCOL_NONE },
        { "microsoft-server-activesync", PROTOCOL_ACTIVESYNC }, { "mapi.x", PROTOCOL_NONE },
        { "powershell", PROTOCOL_POWERSHELL },
    };

    for (size_t i = 0; i < sizeof(segments) / sizeof(segments[0]); i++)
        cr_expect_eq(preset_directory(segments[i].segment, strlen(segments[i].segment)),
            segments[i].protocol, "%s", segments[i].segment);
    cr_expect_eq(preset_directory("owafoo", 3), PROTOCOL_OWA);
}

Test(preset, knows_no_key_by_another_spelling)
{
    cr_expect_eq(preset_key("OWA"), PROTOCOL_NONE);
    cr_expect_eq(preset_key(""), PROTOCOL_NONE);
    cr_expect_eq(preset_key("ow"), PROTOCOL_NONE);
}

Test(preset, lets_only_proven_names_below_ews_go_plain)
{
    static const char *const proven[] = { "exchange.asmx", "services.wsdl", "messages.xsd",
        "types.xsd", "healthcheck.htm" };
    const char *const *ews = preset_route(PROTOCOL_EWS)->proven;
    size_t count = 0;

    for (; ews[count]; count++) {
        bool is_known = false;
        for (size_t i = 0; i < sizeof(proven) / sizeof(proven[0]); i++)
            is_known |= strcmp(ews[count], proven[i]) == 0;
        cr_expect(is_known, "%s", ews[count]);
    }
    cr_expect_eq(count, sizeof(proven) / sizeof(proven[0]));
    cr_expect_null(preset_route(PROTOCOL_MRSPROXY)->proven[0]);
    cr_expect_null(preset_route(PROTOCOL_OWA)->proven);
}

Test(preset, limits_only_the_body_of_autodiscover)
{
    for (int i = 0; i < PROTOCOL_COUNT; i++)
        cr_expect_eq(preset_route((enum protocol)i)->body_limit,
            i == PROTOCOL_AUTODISCOVER ? 1048576u : 0u, "%s", rows[i].key);
}

Test(preset, sets_no_body_rate_on_streams)
{
    cr_expect_not(preset_route(PROTOCOL_RPC)->body_rate);
    cr_expect_not(preset_route(PROTOCOL_MAPI)->body_rate);
    cr_expect_not(preset_route(PROTOCOL_MRSPROXY)->body_rate);
}
