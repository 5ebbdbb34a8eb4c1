/*
 * Prints what comes from the parameter table: `print_conf sample` the annotated configuration,
 * `print_conf manual` the page smimed.conf(5). make docs writes both into the tree; make check
 * compares them.
 */
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"

static const char manual_head[] =
    ".\\\" From the parameter table: make docs.\n"
    ".Dd November 24, 2026\n"
    ".Dt SMIMED.CONF 5\n"
    ".Os\n"
    ".Sh NAME\n"
    ".Nm smimed.conf\n"
    ".Nd configuration of the S/MIME gateway smimed\n"
    ".Sh DESCRIPTION\n"
    "The file holds lines of the form\n"
    ".Ql name = value\n"
    "and sections.\n"
    "A\n"
    ".Ql #\n"
    "begins a comment.\n"
    "Values with spaces stand in double quotes, with\n"
    ".Ql \\e\\(dq\n"
    "and\n"
    ".Ql \\e\\e\n"
    "inside; lists are separated by spaces or commas.\n"
    "Durations and sizes carry a unit: ms, s, m, h, d; B, KiB, MiB, GiB, TiB.\n"
    ".Pp\n"
    "The line\n"
    ".Ql include \\(dqfile\\(dq\n"
    "reads another file, or every file that a pattern in the last part of the path matches, at "
    "that place.\n"
    ".Pp\n"
    ".Xr smimectl 8\n"
    "tells every error at once with its file, line and column\n"
    ".Pq Ic smimectl check ,\n"
    "and every value with where it comes from\n"
    ".Pq Ic smimectl dump .\n"
    "A configuration with an error is not used: smimed does not start, and a reload leaves the old "
    "one in force.\n"
    ".Pp\n"
    "Rules are matched in the order of the file, for each recipient by itself; the first that "
    "matches decides.\n"
    "Where no rule matches, outbound mail passes unsigned and inbound mail is marked.\n";

static const char manual_tail[] =
    ".Sh FILES\n"
    ".Bl -tag -width Ds\n"
    ".It Pa /etc/smimed/smimed.conf\n"
    "The configuration.\n"
    "It must not be writable by others.\n"
    ".El\n"
    ".Sh EXAMPLES\n"
    "Sign all outbound mail, encrypt to one partner, verify what comes in:\n"
    ".Bd -literal -offset indent\n"
    "trust \"default\" {\n"
    "    anchors = /etc/smimed/anchors\n"
    "    crls = /var/lib/smimed/crls\n"
    "}\n"
    "rule \"partner\" {\n"
    "    direction = out\n"
    "    recipient = *@partner.example\n"
    "    encrypt = always\n"
    "}\n"
    "rule \"outbound\" {\n"
    "    direction = out\n"
    "}\n"
    "rule \"inbound\" {\n"
    "    direction = in\n"
    "}\n"
    ".Ed\n"
    ".Sh SEE ALSO\n"
    ".Xr smimectl 8 ,\n"
    ".Xr smimed 8\n";

int
main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "sample") == 0) {
        conf_format_sample(stdout);
    } else if (argc == 2 && strcmp(argv[1], "manual") == 0) {
        fputs(manual_head, stdout);
        conf_format_mdoc(stdout);
        fputs(manual_tail, stdout);
    } else {
        fprintf(stderr, "usage: print_conf sample|manual\n");
        return 2;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
