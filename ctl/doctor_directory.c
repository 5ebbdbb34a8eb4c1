/*
 * The directories of the configuration, each server by itself, asked with the daemon's own code.
 */
#include <stdio.h>

#include "ctl/doctor_report.h"
#include "directory/ldap.h"

struct section {
    struct ctl_doctor_report *report;
    char name[128]; /* of the check */
};

static void
report_server(void *context, const struct directory_ldap_finding *finding)
{
    static const char *const hints[] = {
        [DIRECTORY_LDAP_STEP_CONNECT] = "is the server up, its name right, and port 389 or 636 "
                                        "reachable from here?",
        [DIRECTORY_LDAP_STEP_TLS] = "does its certificate come from tls_ca_file and carry this "
                                    "host name? StartTLS can be turned off (starttls = no), TLS "
                                    "to port 636 cannot",
        [DIRECTORY_LDAP_STEP_BIND] = "bind_dn, bind_password_file, or the certificate for "
                                     "bind = external",
        [DIRECTORY_LDAP_STEP_SEARCH] = "base, and the rights of bind_dn to read it",
    };
    const struct section *section = context;

    ctl_doctor_report_write(
        section->report, finding->is_good ? CTL_DOCTOR_LEVEL_OK : CTL_DOCTOR_LEVEL_FAIL,
        section->name, hints[finding->step], "%s%s%s", finding->is_good ? finding->server : "",
        finding->is_good ? ": connected, bound, found " : "", finding->text);
}

static void
check_file(const struct section *section, const struct conf_directory *conf)
{
    struct directory *directory = NULL;
    struct err err = ERR_INIT;

    if (directory_new(conf, &directory, &err) != ERR_OK)
        ctl_doctor_report_write(section->report, CTL_DOCTOR_LEVEL_FAIL, section->name,
                                "mend or replace the file", "%s", err.text);
    else
        ctl_doctor_report_write(section->report, CTL_DOCTOR_LEVEL_OK, section->name, NULL, "%s",
                                conf->ldif);
    directory_free(&directory);
}

void
ctl_doctor_check_directories(struct ctl_doctor_report *report, const struct conf *conf)
{
    for (size_t i = 0; i < conf->directory_count; i++) {
        const struct conf_directory *directory = &conf->directories[i];
        struct section section = { .report = report };
        struct err err = ERR_INIT;

        snprintf(section.name, sizeof section.name, "directory.%s", directory->name);
        if (!directory->servers[0])
            check_file(&section, directory);
        else if (directory_ldap_check(directory, report_server, &section, &err) != ERR_OK)
            ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_FAIL, section.name,
                                    "mend the section of the configuration", "%s", err.text);
    }
}
