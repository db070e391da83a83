/*
 * yaml: any bytes as a configuration file, loaded and checked as at start-up, beside a certificate that is
 * really there (a.pem, a.key).
 *
 * Must hold: no crash, no leak; a configuration or a complaint, never neither; what was accepted answers the
 * questions that a request would ask.
 */
#include <string.h>

#include "config/config.h"
#include "fuzz.h"
#include "scratch.h"

static void
ask(const struct config *config)
{
    FUZZ_REQUIRE(config->farm_count > 0 && config->certificate_count > 0, "it is complete");
    FUZZ_REQUIRE(config_farm_for(config, "mail.contoso.test", 17), "every host has a farm");
    config_publishes(config, "mail.contoso.test", 17);
    for (size_t f = 0; f < config->farm_count; f++)
        FUZZ_REQUIRE(config->farms[f].server_count > 0, "every farm has servers");
}

int
fuzz_yaml(const uint8_t *data, size_t size)
{
    static FILE *sink;
    unsigned complaints = 0;
    struct config *config;

    if (!sink)
        sink = fopen("/dev/null", "we");
    scratch_write("input", data, size);
    config = config_load(scratch_path("input"), sink, &complaints);
    FUZZ_REQUIRE(config || complaints, "a refusal has a reason");
    if (config) {
        ask(config);
        config_unref(config);
    }
    return 0;
}
