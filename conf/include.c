/*
 * Files: opened with their bounds, included files and patterns, loops.
 */
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/parser.h"
#include "util/file.h"

const char *
conf_parser_keep(struct conf_parser *parser, const char *name)
{
    struct conf_private *private = parser->conf->private;
    char **files = realloc(private->files, (private->file_count + 1) * sizeof *files);
    char *copy = files ? strdup(name) : NULL;

    if (files)
    private->files = files;
    if (!copy) {
        conf_report_set_nomem(&parser->report);
        return NULL;
    }
    private->files[private->file_count++] = copy;
    return copy;
}

/* Is the file open already, further up? Then it includes itself. */
static bool
conf_parser_is_open(const struct conf_parser *parser, const char *canonical)
{
    for (unsigned i = 0; i < parser->depth; i++)
        if (strcmp(parser->open_files[i], canonical) == 0)
            return true;
    return false;
}

static bool
conf_parser_check_bounds(struct conf_parser *parser, const char *path, const char *canonical,
                         const struct conf_origin *from)
{
    struct conf_report *report = &parser->report;

    if (conf_parser_is_open(parser, canonical))
        conf_report_set(report, from, "include loop: %s is being read already", path);
    else if (parser->depth > CONF_INCLUDE_DEPTH)
        conf_report_set(report, from, "include deeper than %d files", CONF_INCLUDE_DEPTH);
    else if (parser->conf->private->file_count >= CONF_FILES_LIMIT)
        conf_report_set(report, from, "more than %d files are included", CONF_FILES_LIMIT);
    else
        return true;
    return false;
}

enum err_code
conf_parser_load(struct conf_parser *parser, const char *path, const struct conf_origin *from,
                 struct err *err)
{
    /* Whoever can write the configuration can name the keys and turn signing off. */
    const struct file_read_args args = { .limit_bytes = CONF_FILE_LIMIT_BYTES,
                                         .forbidden_mode = 0002 };
    struct buf text = BUF_INIT(CONF_FILE_LIMIT_BYTES);
    struct err why = ERR_INIT;
    struct conf_origin top = { .line = 1, .column = 1 };
    char *canonical = realpath(path, NULL);
    enum err_code rc = ERR_OK;

    if (from && !conf_parser_check_bounds(parser, path, canonical ? canonical : path, from))
        goto out;
    top.file = conf_parser_keep(parser, path);
    if (!top.file)
        goto out;
    rc = file_read(path, &args, &text, &why);
    if (rc != ERR_OK) {
        if (from || rc == ERR_PERM || rc == ERR_LIMIT) {
            conf_report_set(&parser->report, from ? from : &top, "%s", why.text);
            rc = ERR_OK;
        } else {
            rc = err_set(err, rc, "%s", why.text);
        }
        goto out;
    }
    parser->open_files[parser->depth++] = canonical ? canonical : path;
    conf_parser_read(parser, buf_span(&text), top.file);
    parser->depth--;
out:
    free(canonical);
    buf_free(&text);
    return rc;
}

static void
conf_parser_include_all(struct conf_parser *parser, const char *path, const struct conf_origin *at)
{
    glob_t found = { .gl_pathc = 0 };
    int rc = glob(path, GLOB_ERR, NULL, &found);

    if (rc == GLOB_NOSPACE)
        conf_report_set_nomem(&parser->report);
    else if (rc == GLOB_ABORTED)
        conf_report_set(&parser->report, at, "include %s: the folder cannot be read", path);
    /* Sorted by name; a pattern that nothing matches is no error: an empty conf.d is usual. */
    for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++)
        (void)!conf_parser_load(parser, found.gl_pathv[i], at, NULL);
    globfree(&found);
}

void
conf_parser_include(struct conf_parser *parser, const char *pattern, const struct conf_origin *at)
{
    char path[PATH_MAX];
    const char *slash = strrchr(at->file, '/');
    int folder = pattern[0] != '/' && slash ? (int)(slash - at->file) + 1 : 0;
    int n = snprintf(path, sizeof path, "%.*s%s", folder, at->file, pattern);

    if (parser->in_memory)
        conf_report_set(&parser->report, at, "include is not possible here");
    else if (pattern[0] == '\0')
        conf_report_set(&parser->report, at, "include names no file");
    else if (n < 0 || (size_t)n >= sizeof path)
        conf_report_set(&parser->report, at, "include: the name is too long");
    else if (strpbrk(pattern, "*?["))
        conf_parser_include_all(parser, path, at);
    else
        (void)!conf_parser_load(parser, path, at, NULL);
}
