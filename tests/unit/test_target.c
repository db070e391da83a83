/*
 * target: the spelling table of mrsproxy, row by row; what real clients send; what attackers send.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/target.h"
#include "printable.h"

struct row {
    int number;       /* of the spelling table; several rows may share one */
    struct slice raw; /* the request-target */
    char verdict;     /* as verdict_of writes it */
};

/* 'R' refused, '0' nobody's (answered here), 'T' TLS port, 'P' EWS in plain, 'N' other in plain. */
static char
verdict_of(const struct target *target)
{
    if (target->reason != TARGET_OK)
        return 'R';
    if (target->protocol == PROTOCOL_NONE)
        return '0';
    if (target->bridged)
        return 'T';
    return target->protocol == PROTOCOL_EWS || target->protocol == PROTOCOL_MRSPROXY ? 'P' : 'N';
}

static void
expect_row(const struct row *row)
{
    struct target target = target_classify(row->raw);
    cr_expect_eq(verdict_of(&target), row->verdict, "row %d: %s: %c instead of %c (%s)",
        row->number, printable(row->raw.data, row->raw.len), verdict_of(&target), row->verdict,
        target_reason_words(target.reason));
}

/* A slice as a static initialiser. */
#define RAW(literal) { literal, sizeof(literal) - 1 }
#define ROWS_OF(table) (sizeof(table) / sizeof((table)[0]))
#define A20 "aaaaaaaaaaaaaaaaaaaa"
#define A60 A20 A20 A20
#define A100 A60 A20 A20
#define S10 "/x/x/x/x/x/x/x/x/x/x"
#define S50 S10 S10 S10 S10 S10
#define S100 S50 S50

static const struct row spellings[] = {
    { 1, RAW("/EWS/mrsproxy.svc"), 'T' },
    { 2, RAW("/ews/mrsproxy.svc"), 'T' },
    { 3, RAW("/EWS/MRSPROXY.SVC"), 'T' },
    { 4, RAW("/eWs/MrsProxy.Svc"), 'T' },
    { 5, RAW("/EWS/mrsproxy.svc/"), 'T' },
    { 6, RAW("/EWS/mrsproxy.svc/WSSecurity"), 'T' },
    { 7, RAW("/EWS/mrsproxy.svc/foo/bar"), 'T' },
    { 8, RAW("/EWS/mrsproxy.svc?wsdl"), 'T' },
    { 9, RAW("/EWS/mrsproxy.svc?x=/../Exchange.asmx"), 'T' },
    { 10, RAW("/%45%57%53/mrsproxy.svc"), 'T' },
    { 11, RAW("/EWS/%6drsproxy.svc"), 'T' },
    { 12, RAW("/EWS/mrsproxy%2Esvc"), 'T' },
    { 13, RAW("/EWS/%6d%72%73%70%72%6f%78%79%2e%73%76%63"), 'T' },
    { 14, RAW("/EWS%2Fmrsproxy.svc"), 'R' },
    { 15, RAW("/%2fEWS/mrsproxy.svc"), 'R' },
    { 16, RAW("/EWS%5Cmrsproxy.svc"), 'R' },
    { 17, RAW("/EWS\\mrsproxy.svc"), 'R' },
    { 18, RAW("/owa/..\\EWS\\mrsproxy.svc"), 'R' },
    { 19, RAW("//EWS/mrsproxy.svc"), 'R' },
    { 20, RAW("/EWS//mrsproxy.svc"), 'R' },
    { 21, RAW("/EWS/./mrsproxy.svc"), 'R' },
    { 22, RAW("/EWS/%2e/mrsproxy.svc"), 'R' },
    { 23, RAW("/owa/../EWS/mrsproxy.svc"), 'R' },
    { 24, RAW("/owa/%2e%2e/EWS/mrsproxy.svc"), 'R' },
    { 25, RAW("/owa/..%2fEWS/mrsproxy.svc"), 'R' },
    { 26, RAW("/owa/%2e%2e%5cEWS%5cmrsproxy.svc"), 'R' },
    { 27, RAW("/EWS/Exchange.asmx/../mrsproxy.svc"), 'R' },
    { 28, RAW("/EWS/mrsproxy.svc/../Exchange.asmx"), 'R' },
    { 29, RAW("/../EWS/mrsproxy.svc"), 'R' },
    { 30, RAW("/EWS/x/..;/mrsproxy.svc"), 'R' },
    { 31, RAW("/EWS;a=b/mrsproxy.svc"), 'R' },
    { 32, RAW("/EWS/mrsproxy.svc;jsessionid=1"), 'R' },
    { 33, RAW("/EWS/mrsproxy.svc."), 'R' },
    { 34, RAW("/EWS/mrsproxy.svc..."), 'R' },
    { 35, RAW("/EWS/mrsproxy.svc%20"), 'R' },
    { 36, RAW("/EWS./mrsproxy.svc"), 'R' },
    { 37, RAW("/EWS%20/mrsproxy.svc"), 'R' },
    { 38, RAW("/EWS/mrsproxy.svc%00"), 'R' },
    { 39, RAW("/EWS/mrsproxy.svc%0d%0aX:y"), 'R' },
    { 40, RAW("/EWS/mrsproxy.svc%09"), 'R' },
    { 41, RAW("/EWS\t/mrsproxy.svc"), 'R' },
    { 42, RAW("/EWS/mrsproxy.svc#frag"), 'R' },
    { 43, RAW("/EWS/x#/../mrsproxy.svc"), 'R' },
    { 44, RAW("/EWS/mrsproxy.svc%23"), 'R' },
    { 45, RAW("/EWS/mrsproxy.svc%3fa"), 'R' },
    { 46, RAW("/EWS/%u006drsproxy.svc"), 'R' },
    { 47, RAW("/EWS%u002fmrsproxy.svc"), 'R' },
    { 48, RAW("/EWS/%u216drsproxy.svc"), 'R' },
    { 49, RAW("/EWS/%256drsproxy.svc"), 'R' },
    { 50, RAW("/EWS/%25%36%64rsproxy.svc"), 'R' },
    { 51, RAW("/EWS/%mrsproxy.svc"), 'R' },
    { 52, RAW("/EWS/%6"), 'R' },
    { 52, RAW("/EWS/%zz"), 'R' },
    { 53, RAW("/EWS/%EF%BD%8Drsproxy.svc"), 'R' },
    { 54, RAW("/EWS/\xEF\xBD\x8D" "rsproxy.svc"), 'R' },
    { 55, RAW("/EWS/%C1%ADrsproxy.svc"), 'R' },
    { 56, RAW("/EWS/mr%C5%BFproxy.svc"), 'R' },
    { 57, RAW("/EWS/mrsproxy%E2%80%8B.svc"), 'R' },
    { 58, RAW("/EWS/mrsproxy.svc%C2%A0"), 'R' },
    { 58, RAW("/EWS/mrsproxy.svc%A0"), 'R' },
    { 59, RAW("/EWS/mrsproxy.svc::$DATA"), 'R' },
    { 60, RAW("/EWS:$I30:$INDEX_ALLOCATION/mrsproxy.svc"), 'R' },
    { 61, RAW("/EWS/mrsproxy.svc%3a%3a$DATA"), 'R' },
    { 62, RAW("/EWS/MRSPRO~1.SVC"), 'R' },
    { 63, RAW("/EWS/mrsproxy.svc+"), 'R' },
    { 63, RAW("/EWS/mrs+proxy.svc"), 'R' },
    { 64, RAW("/EWS/*"), 'R' },
    { 64, RAW("/EWS/mrsproxy.svc*"), 'R' },
    { 65, RAW("/EWS/(S(abc))/mrsproxy.svc"), 'R' },
    { 66, RAW("/(A(x))/EWS/mrsproxy.svc"), 'R' },
    { 67, RAW("http://mail.contoso.com/EWS/mrsproxy.svc"), 'T' },
    { 68, RAW("https://other.host/EWS/mrsproxy.svc"), 'T' }, /* the caller refuses the name */
    { 69, RAW("http:///EWS/mrsproxy.svc"), 'R' },
    { 69, RAW("//h/EWS/mrsproxy.svc"), 'R' },
    { 70, RAW("EWS/mrsproxy.svc"), 'R' },
    { 71, RAW("/EWS/mrsproxy.svc"), 'T' }, /* no version: the parser refuses it */
    { 72, RAW("/EWS/mrsproxy.svc"), 'T' }, /* X-Original-URL is stripped */
    { 72, RAW("/EWS/Exchange.asmx"), 'P' },
    { 73, RAW("/EWS/Exchange.asmx"), 'P' },
    { 74, RAW("/Autodiscover/autodiscover.json?@x/EWS/mrsproxy.svc"
            "?&Email=autodiscover/autodiscover.json%3f@x"), 'R' },
    { 75, RAW("/EWS/mrsproxy"), 'T' },
    { 75, RAW("/EWS/mrsproxy.svcx"), 'T' },
    { 75, RAW("/EWS/xmrsproxy.svc"), 'T' },
    { 76, RAW("/EWSx/mrsproxy.svc"), 'R' },
    { 77, RAW("/EWS"), 'T' },
    { 77, RAW("/EWS/"), 'T' },
    { 78, RAW("/EWS/Exchange.asmx"), 'P' },
    { 78, RAW("/ews/exchange.asmx"), 'P' },
    { 79, RAW("/EWS/Exchange.asmx/wssecurity"), 'T' },
    { 80, RAW("/EWS/Exchange.asmx/s/GetUserPhoto?email=a%40b"), 'P' },
    { 81, RAW("/EWS/" A100 A100 A60 "a"), 'R' },
    { 81, RAW("/EWS" S100 S100 S50 "/x/x/x/x/x"), 'R' },
    { 82, RAW("/owa/"), 'N' },
    { 82, RAW("/EWS/mrsproxy.svc"), 'T' },
};

Test(target, gives_each_row_of_the_spelling_table_its_verdict)
{
    for (size_t i = 0; i < ROWS_OF(spellings); i++)
        expect_row(&spellings[i]);
}

Test(target, leaves_no_row_of_the_spelling_table_out)
{
    for (int number = 1; number <= 82; number++) {
        size_t i = 0;
        while (i < ROWS_OF(spellings) && spellings[i].number != number)
            i++;
        cr_expect_lt(i, ROWS_OF(spellings), "row %d", number);
    }
}

/* Every byte string that is cut short must stay inside its bounds: run on exact heap copies, so
 * that the address sanitizer sees a read behind the end. */
Test(target, never_reads_behind_the_end)
{
    for (size_t i = 0; i < ROWS_OF(spellings); i++) {
        for (size_t len = 0; len <= spellings[i].raw.len; len++) {
            char *copy = malloc(len ? len : 1);
            if (len)
                memcpy(copy, spellings[i].raw.data, len);
            struct target target = target_classify((struct slice) { copy, len });
            cr_expect(target.reason == TARGET_OK || target.protocol == PROTOCOL_NONE);
            free(copy);
        }
    }
}

struct client {
    enum protocol protocol;
    struct slice raw;
};

static const struct client clients[] = {
    { PROTOCOL_RPC,
        RAW("/rpc/rpcproxy.dll?ad44b1e0-e44f-4a16-9396-3a437f594f88@tailspintoys.com:6001") },
    { PROTOCOL_RPC, RAW("/Rpc/RpcProxy.dll?cas1.contoso.local:6004") },
    { PROTOCOL_RPC, RAW("/rpc/rpcproxy.dll") },
    { PROTOCOL_MAPI,
        RAW("/mapi/emsmdb/?MailboxId=ad44b1e0-e44f-4a16-9396-3a437f594f88@contoso.com") },
    { PROTOCOL_MAPI,
        RAW("/MAPI/nspi/?MailboxId=ad44b1e0-e44f-4a16-9396-3a437f594f88@contoso.com") },
    { PROTOCOL_MAPI, RAW("/mapi/emsmdb/?showdebug=yes") },
    { PROTOCOL_ACTIVESYNC, RAW("/Microsoft-Server-ActiveSync") },
    { PROTOCOL_ACTIVESYNC, RAW("/Microsoft-Server-ActiveSync/") },
    { PROTOCOL_ACTIVESYNC, RAW("/Microsoft-Server-ActiveSync/default.eas?Cmd=Ping") },
    { PROTOCOL_ACTIVESYNC, RAW("/Microsoft-Server-ActiveSync/Proxy") },
    { PROTOCOL_ACTIVESYNC,
        RAW("/Microsoft-Server-ActiveSync?Cmd=Sync&User=rmjones&DeviceId=v140Device"
            "&DeviceType=SmartPhone") },
    { PROTOCOL_ACTIVESYNC,
        RAW("/microsoft-server-activesync?Cmd=Sync&User=CONTOSO%5Cjo&DeviceId=1") },
    { PROTOCOL_ACTIVESYNC,
        RAW("/microsoft-server-activesync?Cmd=Sync&User=CONTOSO\\jo&DeviceId=1") },
    { PROTOCOL_ACTIVESYNC,
        RAW("/Microsoft-Server-ActiveSync?jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25l") },
    { PROTOCOL_ACTIVESYNC,
        RAW("/Microsoft-Server-ActiveSync?jAAJBAp2MTQwR+V2aWNl/ApTbWFydFBob25==") },
    { PROTOCOL_ACTIVESYNC,
        RAW("https://mail.contoso.com:443/Microsoft-Server-ActiveSync?Cmd=FolderSync"
            "&User=m%C3%BCller") },
    { PROTOCOL_ACTIVESYNC, RAW("/Microsoft-Server-ActiveSync?Cmd=Sync&User=m\xC3\xBCller") },
    { PROTOCOL_EWS, RAW("/EWS/Services.wsdl") },
    { PROTOCOL_EWS, RAW("/EWS/messages.xsd") },
    { PROTOCOL_EWS, RAW("/EWS/types.xsd") },
    { PROTOCOL_EWS, RAW("/EWS/healthcheck.htm") },
    { PROTOCOL_EWS, RAW("/ews/Exchange.asmx/s/GetUserPhoto?email=jo@contoso.com&size=HR240x240") },
    { PROTOCOL_EWS,
        RAW("/EWS/Exchange.asmx/s/GetUserPhoto?email=jo%2bx%40contoso.com&size=HR64x64") },
    { PROTOCOL_OWA, RAW("/owa") },
    { PROTOCOL_OWA, RAW("/OWA/") },
    { PROTOCOL_OWA,
        RAW("/owa/auth/logon.aspx?url=https%3a%2f%2fmail.contoso.com%2fowa%2f&reason=0") },
    { PROTOCOL_OWA,
        RAW("/owa/auth/logon.aspx?replaceCurrent=1&url=https%3a%2f%2fm%2fecp%2f%3frfr%3dowa") },
    { PROTOCOL_OWA, RAW("/owa/auth.owa") },
    { PROTOCOL_OWA, RAW("/owa/service.svc?action=GetFolder&EP=1&ID=-7&AC=1") },
    { PROTOCOL_OWA,
        RAW("/owa/service.svc/s/GetFileAttachment?id=AAMkA%2bD%2f0%3d&X-OWA-CANARY=a-b_c.d%2e") },
    { PROTOCOL_OWA,
        RAW("/owa/ev.owa2?ns=PendingRequest&ev=PendingNotificationRequest&UA=0&cid=1-2&n=3") },
    { PROTOCOL_OWA, RAW("/owa/prem/15.0.1497.2/resources/styles/0/images/x.png") },
    { PROTOCOL_OWA, RAW("/owa/?ae=Item&a=Open&t=IPM.Note&id=Rg+A/B==&pspid=_1") },
    { PROTOCOL_OWA, RAW("/owa/calendar/0b7a@contoso.com/5f0e/calendar.html") },
    { PROTOCOL_OWA,
        RAW("/owa/calendar/0b7a@contoso.com/Gr%C3%BC%C3%9Fe%20und%20Termine/calendar.ics") },
    { PROTOCOL_OWA,
        RAW("/owa/calendar/jo@contoso.com/%E4%BC%9A%E8%AD%B0%E3%80%80%E5%AE%A4/calendar.ics") },
    { PROTOCOL_OWA, RAW("/owa/calendar/jo@contoso.com/%F0%9F%93%85/calendar.ics") },
    { PROTOCOL_OWA, RAW("/owa/redir.aspx?REF=x&URL=https%3a%2f%2fwiki%2fmrsproxy.svc") },
    { PROTOCOL_OWA, RAW("/owa/x?q=100%&r=%zz&s=%u00e9&t=\"<>{}|^`") },
    { PROTOCOL_ECP, RAW("/ecp/?rfr=owa&p=PersonalSettings/EmailSignature.aspx") },
    { PROTOCOL_ECP,
        RAW("/ecp/DDI/DDIService.svc/GetList?schema=MailboxService&msExchEcpCanary=x%3a%2f") },
    { PROTOCOL_OAB, RAW("/OAB/c7b3ba9d-1d2b-4a3a-a1e5-7a5e9f0d4c4b/oab.xml") },
    { PROTOCOL_OAB, RAW("/oab/c7b3ba9d-1d2b-4a3a-a1e5-7a5e9f0d4c4b/c7b3ba9d-data-1001.lzx") },
    { PROTOCOL_AUTODISCOVER, RAW("/Autodiscover/Autodiscover.xml") },
    { PROTOCOL_AUTODISCOVER, RAW("/autodiscover/autodiscover.xml") },
    { PROTOCOL_AUTODISCOVER, RAW("/AutoDiscover/AutoDiscover.svc") },
    { PROTOCOL_AUTODISCOVER,
        RAW("/autodiscover/autodiscover.json?Email=user@contoso.com&Protocol=Autodiscoverv1") },
    { PROTOCOL_AUTODISCOVER,
        RAW("/autodiscover/autodiscover.json?Email=user%40contoso.com&Protocol=ActiveSync"
            "&RedirectCount=1") },
    { PROTOCOL_AUTODISCOVER,
        RAW("/autodiscover/autodiscover.json/v1.0/user%40contoso.com?Protocol=Autodiscoverv1") },
};

Test(target, lets_real_clients_pass_in_plain)
{
    for (size_t i = 0; i < ROWS_OF(clients); i++) {
        struct target target = target_classify(clients[i].raw);
        const char *text = printable(clients[i].raw.data, clients[i].raw.len);
        cr_expect_eq(target.reason, TARGET_OK, "%s: %s", text, target_reason_words(target.reason));
        cr_expect_eq(target.protocol, clients[i].protocol, "%s", text);
        cr_expect_not(target.bridged, "%s", text);
    }
}

static const struct row others[] = {
    { 1, RAW("/autodiscover/autodiscover.svc/wssecurity"), 'T' },
    { 2, RAW("/Autodiscover/Autodiscover.svc/WSSecurity/SymmetricKey"), 'T' },
    { 3, RAW("/EWS/Exchange.asmx/%77ssecurity/x509cert"), 'T' },
    { 4, RAW("/EWS/OData"), 'T' },
    { 5, RAW("/EWS/LegacyServices.svc"), 'T' },
    { 6, RAW("/EWS/bin/x.dll"), 'T' },
    { 7, RAW("/EWS?mrsproxy"), 'T' },
    { 8, RAW("/EWS/Exchange.asmx?x=mrsproxy"), 'T' },
    { 9, RAW("/EWS/Exchange.asmx?x=%25256d%72sproxy"), 'T' },
    { 10, RAW("/EWS/Exchange.asmx?x=%%36%64rs%u0070roxy"), 'T' },
    { 11, RAW("/EWS/Exchange.asmx?x=mrs%E2%80%8Bproxy"), 'T' },
    { 12, RAW("/EWS/Exchange.asmx?x=mrs%u200bproxy"), 'T' },
    { 13, RAW("/EWS/Exchange.asmx?x=mrs%pro%xy"), 'P' },
    { 14, RAW("/PowerShell/?PSVersion=3.0;PSEdition=x"), 'T' },
    { 15, RAW("/"), '0' },
    { 16, RAW("/?mrsproxy"), '0' },
    { 17, RAW("/owa2/"), '0' },
    { 18, RAW("/mapi.x/emsmdb"), '0' },
    { 19, RAW("/RpcWithCert/RpcProxy.dll"), '0' },
    { 20, RAW("/favicon.ico"), '0' },
    { 21, RAW("/Microsoft-Server-ActiveSyncAndMuchMoreThanAnyNameHas/x"), '0' },
    { 22, RAW("http://mail.contoso.com"), '0' },
    { 23, RAW("HTTPS://[2001:db8::1]:443/owa/"), 'N' },
    { 24, RAW(""), 'R' },
    { 25, RAW("*"), 'R' },
    { 26, RAW("?x"), 'R' },
    { 27, RAW("mail.contoso.com:443"), 'R' },
    { 28, RAW("ftp://mail.contoso.com/owa/"), 'R' },
    { 29, RAW("http:/owa/"), 'R' },
    { 30, RAW("http://jo@mail/owa/"), 'R' },
    { 31, RAW("http://mail:99999/owa/"), 'R' },
    { 32, RAW("http://mail:/owa/"), 'R' },
    { 33, RAW("http://mail:80:80/owa/"), 'R' },
    { 34, RAW("http://[::1/owa/"), 'R' },
    { 35, RAW("http://[]/owa/"), 'R' },
    { 36, RAW("http://m%61il/owa/"), 'R' },
    { 37, RAW("http://mail?x"), 'R' },
    { 38, RAW("http://mail\\owa/"), 'R' },
    { 39, RAW("http://mail#/owa/"), 'R' },
    { 40, RAW("http://mail//owa/"), 'R' },
    { 41, RAW("http://mail\0.evil/owa/"), 'R' },
    { 42, RAW("/owa/x?a b"), 'R' },
    { 43, RAW("/owa/x?a\0b"), 'R' },
    { 44, RAW("/owa/x?a\x7f"), 'R' },
    { 45, RAW("/owa//"), 'R' },
    { 46, RAW("/rpc/x:y"), 'R' },
    { 47, RAW("/owa/x:y"), 'N' },
    { 48, RAW("/owa/..:x/y"), 'R' },
    { 49, RAW("/owa/..%EF%BC%9Ax/y"), 'R' },
    { 50, RAW("/owa/%EF%BC%8E%EF%BC%8E/y"), 'R' },
    { 51, RAW("/owa/..%E2%88%95y"), 'R' },
    { 52, RAW("/owa/..%C2%A0/y"), 'R' },
    { 53, RAW("/owa/.%E2%80%8B./y"), 'R' },
    { 54, RAW("/owa/x~%31"), 'R' },
    { 55, RAW("/owa/x%7e1"), 'R' },
    { 56, RAW("/owa/x~y"), 'N' },
    { 57, RAW("/owa/(S(x))/y"), 'R' },
    { 58, RAW("/owa/%28f%28x))/y"), 'R' },
    { 59, RAW("/owa/(x)/y"), 'N' },
    { 60, RAW("/owa/%ED%A0%80"), 'R' },
    { 61, RAW("/owa/%F4%90%80%80"), 'R' },
    { 62, RAW("/owa/%E0%80%AF"), 'R' },
    { 63, RAW("/owa/%C3"), 'R' },
    { 64, RAW("/owa/%C3x"), 'R' },
    { 65, RAW("/owa/%C2%85"), 'R' },
    { 66, RAW("/%EF%BD%8Fwa/"), 'R' },
    { 67, RAW("/owa/mrsproxy"), 'R' },
    { 68, RAW("/OAB/%4drsProxy.svc"), 'R' },
    { 69, RAW("/owa/" A100 A100 A60), 'N' },
    { 70, RAW("/owa/" A100 A100 A60 "a"), 'R' },
    { 71, RAW("/owa" S100 S100 S50 "/x/x/x/x/"), 'N' },
    { 72, RAW("/owa" S100 S100 S50 "/x/x/x/x/x"), 'R' },
    { 73, RAW("/owa/mrs/proxy"), 'N' },
    { 74, RAW("/owa/%"), 'R' },
    { 75, RAW("/owa/%4"), 'R' },
    { 76, RAW("/owa/..;/x"), 'R' },
    { 78, RAW("/owa/..%EF%BC%9B/x"), 'R' },
    { 79, RAW("/owa/.x/y"), 'N' },
    { 77, RAW("/owa/x;y/z"), 'N' },
};

Test(target, gives_other_spellings_their_verdicts)
{
    for (size_t i = 0; i < ROWS_OF(others); i++)
        expect_row(&others[i]);
}

Test(target, knows_every_byte_of_a_path_raw_and_escaped)
{
    for (int byte = 0; byte < 256; byte++) {
        char raw[] = "/owa/a?b", escape[16];
        raw[6] = (char)byte;
        snprintf(escape, sizeof(escape), "/owa/a%%%02xb", byte);
        bool raw_refused = byte <= 0x20 || byte >= 0x7f || strchr("\"#%*<>\\^`{|}", byte);
        bool escape_refused = byte < 0x20 || byte >= 0x7f || strchr("\"%*/<>?\\|", byte);
        struct target target = target_classify((struct slice) { raw, 8 });
        cr_expect_eq(verdict_of(&target), raw_refused ? 'R' : 'N', "raw %02x", byte);
        target = target_classify(slice_of(escape));
        cr_expect_eq(verdict_of(&target), escape_refused ? 'R' : 'N', "escaped %02x", byte);
        memcpy(raw, "/EWS", 4);
        target = target_classify((struct slice) { raw, 8 });
        bool strict = raw_refused || strchr(":;+", byte);
        cr_expect_eq(verdict_of(&target), strict ? 'R' : 'T', "raw %02x under EWS", byte);
    }
}

Test(target, lets_every_printable_byte_of_a_query_pass)
{
    for (int byte = 0; byte < 256; byte++) {
        char raw[] = "/owa/?x";
        raw[6] = (char)byte;
        struct target target = target_classify((struct slice) { raw, 7 });
        bool refused = byte <= 0x20 || byte == 0x7f;
        cr_expect_eq(verdict_of(&target), refused ? 'R' : 'N', "%02x", byte);
    }
}

static const struct row attacks[] = {
    { 1,
        RAW("/autodiscover/autodiscover.json?@evil.com/mapi/nspi/?"
            "&Email=autodiscover/x%3f@e.com"), 'R' },
    { 2, RAW("/autodiscover/autodiscover.json?@evil.com/owa/&Email=x"), 'R' },
    { 3, RAW("/autodiscover/autodiscover.json?a=foo%40bar.com%2fews%2fexchange.asmx"), 'R' },
    { 4, RAW("/autodiscover/autodiscover.json?a=foo%2540bar.com%255cews"), 'R' },
    { 5, RAW("/autodiscover/autodiscover.json?a=foo%u0040bar.com%u002fews"), 'R' },
    { 6, RAW("/autodiscover/autodiscover.json?a=foo@bar.com\\ews"), 'R' },
    { 7, RAW("/autodiscover/autodiscover.json/a@b.com/mapi/nspi"), 'R' },
    { 8, RAW("/autodiscover/admin%40localhost/ecp/autodiscover.json?x=1"), 'R' },
    { 9, RAW("/autodiscover/autodiscover.json/a@b.com?/mapi/nspi"), 'R' },
    { 10, RAW("/autodiscover/autodiscover.json?Email=a@b.com&Protocol=Powershell"), 'R' },
    { 11, RAW("/Autodiscover/autodiscover.json?x=PowerShell"), 'R' },
    { 12, RAW("/Autodiscover/autodiscover.json?x=P%6fwerSh%2565ll"), 'R' },
    { 13, RAW("/Autodiscover/autodiscover.json?x=%2525252525252570owershell"), 'R' },
    { 14, RAW("/Autodiscover/autodiscover.json?x=%%37%30owershell"), 'R' },
    { 15, RAW("/Autodiscover/autodiscover.json?x=%7%%3%330owershell"), 'R' },
    { 16, RAW("/Autodiscover/autodiscover.json?x=%u0070%U006fwershell"), 'R' },
    { 17, RAW("/Autodiscover/PowerShell"), 'R' },
    { 18, RAW("/owa/?%61utodiscover&powershell"), 'R' },
    { 19, RAW("/PowerShell/?x=autodiscover"), 'R' },
    { 20, RAW("/Autodiscover/autodiscover.json?mrsproxy"), 'R' },
    { 21, RAW("/owa/?autodiscover"), 'N' },
    { 22, RAW("/owa/?power-shell"), 'N' },
    { 23, RAW("/autodiscover/autodiscover.xml?a/b"), 'N' },
    { 24, RAW("/autodiscover/autodiscover.xml?a@b"), 'N' },
};

Test(target, refuses_the_known_attacks_and_not_their_halves)
{
    for (size_t i = 0; i < ROWS_OF(attacks); i++)
        expect_row(&attacks[i]);
}

/* Escapes nested deeper than the window that is kept, and a query longer than it, lose no word. */
Test(target, finds_a_word_anywhere_in_a_long_folded_query)
{
    char raw[2048];
    for (size_t before = 0; before < 700; before++) {
        int len = snprintf(raw, sizeof(raw), "/EWS/Exchange.asmx?%0*d"
            "%%6%%6%%3%%3%%3%%3%%34rspro%%78%0300d",
            (int)before + 1, 0, 0);
        struct target target = target_classify((struct slice) { raw, (size_t)len });
        cr_expect_eq(verdict_of(&target), 'T', "behind %zu bytes", before);
    }
}

Test(target, separates_authority_origin_and_path)
{
    struct target target = target_classify(SLICE("hTTp://Mail.Contoso.com:80/EWS/a%20b?c?d"));
    cr_expect(slice_equals(target.authority, SLICE("Mail.Contoso.com:80")));
    cr_expect(slice_equals(target.origin, SLICE("/EWS/a%20b?c?d")));
    cr_expect(slice_equals(target.path, SLICE("/EWS/a%20b")));
    target = target_classify(SLICE("https://mail"));
    cr_expect(slice_equals(target.authority, SLICE("mail")));
    cr_expect(slice_equals(target.origin, SLICE("/")));
    cr_expect(slice_equals(target.path, SLICE("/")));
    cr_expect(target.root);
    target = target_classify(SLICE("/?x"));
    cr_expect_eq(target.authority.len, 0);
    cr_expect(target.root);
    cr_expect(slice_equals(target.path, SLICE("/")));
    cr_expect_not(target_classify(SLICE("/owa")).root);
}

Test(target, counts_mrsproxy_as_its_own_protocol)
{
    cr_expect_eq(target_classify(SLICE("/ews/MRSProxy.svc/x")).protocol, PROTOCOL_MRSPROXY);
    cr_expect_eq(target_classify(SLICE("/ews/%6drsproxy.svc")).protocol, PROTOCOL_MRSPROXY);
    cr_expect_eq(target_classify(SLICE("/ews/mrsproxy")).protocol, PROTOCOL_EWS);
    cr_expect_eq(target_classify(SLICE("/ews/x/mrsproxy.svc")).protocol, PROTOCOL_EWS);
}

Test(target, names_the_reason)
{
    static const struct {
        struct slice raw;
        enum target_reason reason;
    } reasons[] = {
        { RAW("*"), TARGET_FORM }, { RAW("http://"), TARGET_AUTHORITY },
        { RAW("/owa/\x80"), TARGET_BYTE }, { RAW("/owa/%u0041"), TARGET_ESCAPE },
        { RAW("/owa/%0a"), TARGET_CONTROL }, { RAW("/owa/a%2fb"), TARGET_SLASH },
        { RAW("/owa/%BF%80"), TARGET_UTF8 }, { RAW("/owa/%ff"), TARGET_UTF8 },
        { RAW("/owa/%C1%AD"), TARGET_UTF8 }, { RAW("/owa/%E0%82%A9"), TARGET_UTF8 },
        { RAW("/owa/%C2%A9"), TARGET_OK }, { RAW("/owa/.."), TARGET_DOT },
        { RAW("//"), TARGET_EMPTY }, { RAW("/owa/x."), TARGET_ALIAS },
        { RAW("/owa/" A100 A100 A100), TARGET_LENGTH }, { RAW("/x/mrsproxy"), TARGET_MRSPROXY },
        { RAW("/autodiscover/powershell"), TARGET_EXPLOIT },
    };
    for (size_t i = 0; i < ROWS_OF(reasons); i++)
        cr_expect_eq(target_classify(reasons[i].raw).reason, reasons[i].reason, "%s",
            printable(reasons[i].raw.data, reasons[i].raw.len));
    cr_expect_str_eq(target_reason_words(TARGET_DOT), "dot segment");
    cr_expect_str_eq(target_reason_words((enum target_reason)99), "unknown");
}
