/*
 * The oracle itself: the reference canonicaliser of the simulated servers, against the spellings
 * that exchange.md 4.3 lists and what IIS, at its most lenient, makes of them.
 */
#include "cas-sim/iis_path.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct row {
    const char *target; /* as sent */
    const char *path;   /* what IIS resolves; "" for its own 400 */
    bool is_mrsproxy;   /* the service answers */
};

static const struct row rows[] = {
    { "/EWS/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/eWs/MrsProxy.Svc", "/ews/mrsproxy.svc", true },
    { "/EWS/mrsproxy.svc/", "/ews/mrsproxy.svc/", true },
    { "/EWS/mrsproxy.svc/WSSecurity", "/ews/mrsproxy.svc/wssecurity", true },
    { "/EWS/mrsproxy.svc?wsdl", "/ews/mrsproxy.svc", true },
    { "/EWS/mrsproxy.svc?x=/../Exchange.asmx", "/ews/mrsproxy.svc", true },
    { "/%45%57%53/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/%6d%72%73%70%72%6f%78%79%2e%73%76%63", "/ews/mrsproxy.svc", true },
    { "/EWS%2Fmrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/%2fEWS/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS%5Cmrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS\\mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/owa/..\\EWS\\mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "//EWS/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS//mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/./mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/%2e/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/owa/../EWS/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/owa/%2e%2e/EWS/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/owa/..%2fEWS/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/owa/%2e%2e%5cEWS%5cmrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/Exchange.asmx/../mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/mrsproxy.svc/../Exchange.asmx", "/ews/exchange.asmx", false },
    { "/../EWS/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/a/b/c/../../../EWS/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/x/..;/mrsproxy.svc", "/ews/x/..;/mrsproxy.svc", false },
    { "/EWS;a=b/mrsproxy.svc", "/ews;a=b/mrsproxy.svc", false },
    { "/EWS/mrsproxy.svc;jsessionid=1", "/ews/mrsproxy.svc;jsessionid=1", true },
    { "/EWS/mrsproxy.svc.", "/ews/mrsproxy.svc", true },
    { "/EWS/mrsproxy.svc...", "/ews/mrsproxy.svc", true },
    { "/EWS/mrsproxy.svc%20", "/ews/mrsproxy.svc", true },
    { "/EWS./mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS%20/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/.../mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/owa/..%20/EWS/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/mrsproxy.svc%00", "", false },
    { "/EWS/mrsproxy.svc%0d%0aX:y", "", false },
    { "/EWS/mrsproxy.svc%09", "", false },
    { "/EWS/mrsproxy.svc%7f", "", false },
    { "/EWS/mrsproxy.svc#frag", "/ews/mrsproxy.svc#frag", true },
    { "/EWS/x#/../mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/mrsproxy.svc%3fa", "/ews/mrsproxy.svc?a", true },
    { "/EWS/%u006drsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS%u002fmrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/%U006drsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/%u216frsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/%256drsproxy.svc", "/ews/%6drsproxy.svc", false },
    { "/EWS/%25%36%64rsproxy.svc", "/ews/%6drsproxy.svc", false },
    { "/EWS/%mrsproxy.svc", "", false },
    { "/EWS/%6", "", false },
    { "/EWS/%zz", "", false },
    { "/EWS/%u12", "", false },
    { "/EWS/%EF%BD%8Drsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/\xEF\xBD\x8Drsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/%C1%ADrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/%E0%81%ADrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS%C0%AFmrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/mr%C5%BFproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/mrs%E2%80%8Bproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/mrsproxy.svc%C2%A0", "/ews/mrsproxy.svc", true },
    { "/EWS/mrsproxy.svc%A0", "/ews/mrsproxy.svc", true },
    { "/EWS/mrsproxy.svc::$DATA", "/ews/mrsproxy.svc", true },
    { "/EWS:$I30:$INDEX_ALLOCATION/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/EWS/mrsproxy.svc%3a%3a$DATA", "/ews/mrsproxy.svc", true },
    { "/EWS/MRSPRO~1.SVC", "/ews/mrspro~1.svc", true },
    { "/EWS/mrsproxy.svc+", "/ews/mrsproxy.svc+", true },
    { "/EWS/mrs+proxy.svc", "/ews/mrs+proxy.svc", false },
    { "/EWS/(S(abc))/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "/(A(x))/EWS/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "http://mail.contoso.com/EWS/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "HTTPS://other.host/EWS/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "http:///EWS/mrsproxy.svc", "/ews/mrsproxy.svc", true },
    { "http://host", "", false },
    { "EWS/mrsproxy.svc", "", false },
    { "*", "", false },
    { "", "", false },
    { "/EWS/xmrsproxy.svc", "/ews/xmrsproxy.svc", false },
    { "/EWSx/mrsproxy.svc", "/ewsx/mrsproxy.svc", false },
    { "/EWS", "/ews", false },
    { "/EWS/", "/ews/", false },
    { "/", "/", false },
    { "/owa/..", "/", false },
    { "/owa/?url=/EWS/mrsproxy.svc", "/owa/", false },
    { "/ews/Exchange.asmx/s/GetUserPhoto?email=a%40b", "/ews/exchange.asmx/s/getuserphoto", false },
    { "/owa/calendar/%C3%BC@x", "/owa/calendar/\xC3\xBC@x", false },
    { "/owa/calendar/%FC", "/owa/calendar/\xC3\xBC", false },
};

Test(iis_path, resolves_every_spelling_of_the_table)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[256];
        iis_path(rows[i].target, strlen(rows[i].target), path, sizeof path);
        cr_expect_str_eq(path, rows[i].path, "%s gave %s, not %s", rows[i].target, path,
                         rows[i].path);
        cr_expect_eq(iis_path_is_mrsproxy(path), rows[i].is_mrsproxy, "%s", rows[i].target);
    }
}

Test(iis_path, never_writes_beyond_the_output)
{
    static const char target[] = "/aaaa/../%C3%BC/bbbbbbbb/%EF%BD%8D//cc/./..\\d%u006d.";
    for (size_t room = 2; room < 64; room++) {
        char path[80];
        memset(path, '#', sizeof path);
        iis_path(target, sizeof target - 1, path, room);
        cr_expect_lt(strnlen(path, room), room, "room %zu: not terminated", room);
        for (size_t i = room; i < sizeof path; i++)
            cr_expect_eq(path[i], '#', "room %zu: byte %zu was written", room, i);
    }
}

Test(iis_path, is_stable_when_applied_to_its_own_result)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char once[256], twice[256];
        if (!*rows[i].path || strpbrk(rows[i].path, "%?"))
            continue;
        iis_path(rows[i].target, strlen(rows[i].target), once, sizeof once);
        iis_path(once, strlen(once), twice, sizeof twice);
        cr_expect_str_eq(twice, once, "%s", rows[i].target);
    }
}

Test(iis_path, reads_only_the_bytes_it_was_given)
{
    char path[64];
    iis_path("/owa/x?/y", 5, path, sizeof path);
    cr_expect_str_eq(path, "/owa/");
    iis_path("/owa/%41", 7, path, sizeof path);
    cr_expect_str_eq(path, "");
}
