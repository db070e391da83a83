/*
 * config_file: the directory of each test of the suite config, made by openssl and gone with the test.
 */
#include "config_file.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char config_directory[64];
char config_file[96];

void
run(const char *format, ...)
{
    char command[512];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    cr_assert_eq(system(command), 0, "%s", command);
}

static void
make_certificate(const char *name, const char *subject, const char *names)
{
    run("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        " -subj /CN=%s -addext subjectAltName=%s -keyout %s.key -out %s.pem 2>/dev/null",
        config_directory, subject, names, name, name);
}

static void
make_directory(void)
{
    snprintf(config_directory, sizeof(config_directory), "/tmp/casgate-config-XXXXXX");
    cr_assert_not_null(mkdtemp(config_directory));
    snprintf(config_file, sizeof(config_file), "%s/test.yaml", config_directory);
    make_certificate("a", "mail.test", "DNS:mail.test,DNS:*.wild.test");
    make_certificate("b", "other.test", "DNS:other.test");
}

static void
remove_directory(void)
{
    run("rm -rf %s", config_directory);
}

TestSuite(config, .init = make_directory, .fini = remove_directory, .timeout = 120);

void
write_file(const char *name, const char *text, size_t len)
{
    char path[128];
    FILE *out;

    snprintf(path, sizeof(path), "%s/%s", config_directory, name);
    out = fopen(path, "w");
    cr_assert_not_null(out);
    cr_assert_eq(fwrite(text, 1, len, out), len);
    fclose(out);
}

struct config *
load_text(const char *text, char **ret_said, unsigned *ret_complaints)
{
    struct config *config;
    size_t len;
    FILE *out = open_memstream(ret_said, &len);

    cr_assert_not_null(out);
    write_file("test.yaml", text, strlen(text));
    config = config_load(config_file, out, ret_complaints);
    fclose(out);
    return config;
}

struct config *
load_good(const char *text)
{
    unsigned complaints;
    char *said;
    struct config *config = load_text(text, &said, &complaints);

    cr_assert_not_null(config, "%s\n%s", text, said);
    cr_expect_eq(complaints, 0, "%s\n%s", text, said);
    free(said);
    return config;
}
