/*
 * layers: the rules of the house that a compiler does not check, read from the sources themselves.
 *
 *   base < config < net < http < farm < proxy < ops < main.c
 *
 * A room includes only its own and lower rooms. A library is seen by the rooms that wrap it and by no
 * other. A file of more than 600 lines is two rooms. Every complaint of one rule comes in one run, as
 * file:line: sentence.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const rooms[] = { "base", "config", "net", "http", "farm", "proxy", "ops" };

enum { ROOM_COUNT = sizeof(rooms) / sizeof(rooms[0]), LINES_MAX = 600 };

/* Which files may see a library's headers. Patterns are of paths below src/ and include/. */
static const struct library {
    const char *name;        /* for the complaint */
    const char *header;      /* pattern of the included header */
    const char *homes[6];    /* patterns of files that may include it, NULL-terminated */
} libraries[] = {
    { "OpenSSL", "openssl/*", { "net/tls*", "net/conn*", "config/certificate*" } },
    { "llhttp", "llhttp*", { "http/parser*" } },
    { "libevent", "event2/*", { "net/*", "ops/worker*" } },
    { "libfyaml", "libfyaml*", { "config/load*" } },
    { "libcap", "sys/capability.h", { "ops/privilege*" } },
    { "libseccomp", "seccomp.h", { "ops/sandbox*" } },
};

/* What is done with one line of one file of one room. Returns the number of complaints. */
typedef unsigned check_line(const char *file, unsigned number, const char *line, int room);

/* The number of a room by the first part of a path, -1 if there is none of that name. */
static int
room_of(const char *path)
{
    for (int i = 0; i < ROOM_COUNT; i++) {
        size_t len = strlen(rooms[i]);

        if (strncmp(path, rooms[i], len) == 0 && path[len] == '/')
            return i;
    }
    return -1;
}

/* Copies what stands between the quotes or angle brackets of an #include line. False: it is none. */
static bool
included(const char *line, char *ret_header, size_t size)
{
    const char *at = line + strspn(line, " \t");
    size_t len;

    if (*at != '#')
        return false;
    at += 1 + strspn(at + 1, " \t");
    if (strncmp(at, "include", 7) != 0)
        return false;
    at += 7;
    at += strspn(at, " \t");
    if (*at != '"' && *at != '<')
        return false;
    len = strcspn(at + 1, "\">");
    snprintf(ret_header, size, "%.*s", (int)len, at + 1);
    return true;
}

static unsigned
check_order(const char *file, unsigned number, const char *line, int room)
{
    char header[256];
    int other;

    if (!included(line, header, sizeof(header)))
        return 0;
    other = room_of(header);
    if (other < 0 || room < 0 || other <= room)
        return 0;
    cr_log_error("%s:%u: %s looks up at %s", file, number, rooms[room], header);
    return 1;
}

static unsigned
check_libraries(const char *file, unsigned number, const char *line, int room)
{
    char header[256];
    unsigned complaints = 0;

    if (!included(line, header, sizeof(header)))
        return 0;
    for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
        const char *const *home = libraries[i].homes;

        if (fnmatch(libraries[i].header, header, 0) != 0)
            continue;
        while (*home && fnmatch(*home, file, 0) != 0)
            home++;
        if (*home)
            continue;
        cr_log_error("%s:%u: %s is not at home here (%s)", file, number, libraries[i].name, header);
        complaints++;
    }
    return complaints;
}

/* Line 601 of a .c file is the complaint; header files are manuals and may be long. */
static unsigned
check_length(const char *file, unsigned number, const char *line, int room)
{
    if (number != LINES_MAX + 1 || strcmp(strrchr(file, '.'), ".c") != 0)
        return 0;
    cr_log_error("%s: more than %d lines: two rooms", file, LINES_MAX);
    return 1;
}

static unsigned
check_file(const char *root, const char *file, int room, check_line *check)
{
    char path[1024];
    char *line = NULL;
    size_t size = 0;
    unsigned number = 0;
    unsigned complaints = 0;
    FILE *stream;

    snprintf(path, sizeof(path), "%s/%s", root, file);
    stream = fopen(path, "re");
    cr_assert(stream, "cannot read %s", path);
    while (getline(&line, &size, stream) >= 0)
        complaints += check(file, ++number, line, room);
    fclose(stream);
    free(line);
    return complaints;
}

/* All .c and .h files of one directory of root; *ret_files counts them. */
static unsigned
check_room(const char *root, const char *directory, int room, check_line *check, unsigned *ret_files)
{
    char path[1024];
    unsigned complaints = 0;
    struct dirent *entry;
    DIR *stream;

    snprintf(path, sizeof(path), "%s/%s", root, directory);
    stream = opendir(path);
    cr_assert(stream, "there is no room %s", path);
    while ((entry = readdir(stream)) != NULL) {
        const char *dot = strrchr(entry->d_name, '.');
        char file[512];

        if (!dot || (strcmp(dot, ".c") != 0 && strcmp(dot, ".h") != 0))
            continue;
        snprintf(file, sizeof(file), "%s/%s", directory, entry->d_name);
        complaints += check_file(root, file, room, check);
        ++*ret_files;
    }
    closedir(stream);
    return complaints;
}

static void
check_house(check_line *check)
{
    static const char *const roots[] = { SOURCE_ROOT "/src", SOURCE_ROOT "/include" };
    unsigned complaints = 0;
    unsigned files = 0;

    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++)
        for (int room = 0; room < ROOM_COUNT; room++)
            complaints += check_room(roots[i], rooms[room], room, check, &files);
    cr_assert_gt(files, 10, "only %u files were found: the test looks in the wrong place", files);
    cr_assert_eq(complaints, 0, "%u complaints, listed above", complaints);
}

Test(layers, a_room_includes_only_lower_rooms)
{
    check_house(check_order);
}

Test(layers, a_library_is_seen_only_by_the_rooms_that_wrap_it)
{
    check_house(check_libraries);
}

Test(layers, no_source_file_is_longer_than_600_lines)
{
    check_house(check_length);
}
