#include "ctl/trust.h"

#include <string.h>
#include <unistd.h>

#include "ctl/command.h"
#include "flow/evidence.h"
#include "flow/names.h"
#include "util/clock.h"

enum { TRUST_LIMIT_UNTRUSTED = 100000 };

static int
trust_load_mode(struct ctl_trust *trust)
{
    static const char *const words[] = { "require", "prefer", "off" };

    if (!trust->revocation)
        return CTL_EXIT_YES;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i], trust->revocation) == 0) {
            trust->rules.mode = (enum pki_revocation)i;
            return CTL_EXIT_YES;
        }
    }
    ctl_say("--revocation is require, prefer or off, not \"%s\"", trust->revocation);
    return CTL_EXIT_USAGE;
}

/* Rules and network, out of the configuration or the defaults. */
static enum err_code
trust_load_network(struct ctl_trust *trust, struct err *err)
{
    struct conf *conf = NULL;
    const struct conf_global *global;
    enum err_code code = ERR_OK;

    if (trust->services)
        conf = conf_add1(trust->services->conf);
    else
        code = conf_load(NULL, NULL, NULL, &conf, err);
    if (code != ERR_OK)
        return code;
    global = &conf->global;
    trust->rules = flow_names_revocation(global, CONF_DIRECTION_IN);
    flow_names_budget_init(&trust->budget, global);
    if (trust->services)
        trust->evidence = pki_evidence_add1(trust->services->evidence);
    else if (!trust->offline)
        code = flow_evidence_new(global, &trust->evidence, err);
    conf_free(&conf);
    return code;
}

/* Files of the command line that cannot be used are a wrong command line. */
static int
trust_fail(const struct err *err)
{
    int code = ctl_fail(err);

    return code == CTL_EXIT_NO ? CTL_EXIT_USAGE : code;
}

static int
trust_load_own(struct ctl_trust *trust)
{
    const struct pki_trust_args args = { .name = "command line",
                                         .anchors = trust->anchors.list,
                                         .crls = trust->crls.list };
    struct err err = ERR_INIT;

    if (trust->anchors.count == 0) {
        if (trust->crls.count == 0)
            return CTL_EXIT_YES;
        ctl_say("--crl needs --anchors");
        return CTL_EXIT_USAGE;
    }
    if (pki_trust_load(&args, &trust->own, &err) != ERR_OK)
        return trust_fail(&err);
    trust->trust = trust->own;
    return CTL_EXIT_YES;
}

static int
trust_load_services(struct ctl_trust *trust, const struct ctl_common *common)
{
    const char *name = trust->name ? trust->name : "default";
    int code;

    if (!common->config && (trust->own || (!trust->name && access(SMIMED_CONF, F_OK) != 0)))
        return CTL_EXIT_YES;
    code = ctl_context_load(common, &trust->services);
    if (code != CTL_EXIT_YES || trust->own)
        return code;
    trust->trust = flow_services_trust(trust->services, name);
    if (!trust->trust && trust->name) {
        ctl_say("there is no trust \"%s\" in %s", name, ctl_context_path(common));
        return CTL_EXIT_USAGE;
    }
    return CTL_EXIT_YES;
}

int
ctl_trust_load(struct ctl_trust *trust, const struct ctl_common *common)
{
    struct err err = ERR_INIT;
    int code;

    if (trust->at > 0)
        clock_set_s((time_t)trust->at);
    code = trust_load_own(trust);
    if (code == CTL_EXIT_YES)
        code = trust_load_services(trust, common);
    if (code == CTL_EXIT_YES && trust_load_network(trust, &err) != ERR_OK)
        return trust_fail(&err);
    if (code == CTL_EXIT_YES)
        code = trust_load_mode(trust);
    trust->untrusted.limit = TRUST_LIMIT_UNTRUSTED;
    for (size_t i = 0; code == CTL_EXIT_YES && i < trust->untrusted_paths.count; i++) {
        if (pki_certificates_load(&trust->untrusted, trust->untrusted_paths.list[i], &err) !=
            ERR_OK)
            code = trust_fail(&err);
    }
    return code;
}

void
ctl_trust_free(struct ctl_trust *trust)
{
    pki_certificates_free(&trust->untrusted);
    pki_trust_free(&trust->own);
    pki_evidence_free(&trust->evidence);
    flow_services_free(&trust->services);
    trust->trust = NULL;
}
