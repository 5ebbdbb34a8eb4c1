/*
 * smimectl expand: who is behind a distribution group, as a tree, and who of them has a
 * certificate.
 */
#include "ctl/expand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/command.h"
#include "ctl/context.h"
#include "ctl/json.h"
#include "flow/finding.h"
#include "mime/address.h"

struct expand {
    const struct flow_finding *finding;
    const struct flow_finding **people; /* of a node that is a member */
    bool *shown, *on_path;              /* groups */
    struct ctl_json *json;              /* NULL: text */
    uint64_t waits, searches;           /* of the servers that were asked */
};

static const char *
kind_name(const struct directory_node *node)
{
    switch (node->kind) {
    case DIRECTORY_NODE_USER:
        return "user";
    case DIRECTORY_NODE_CONTACT:
        return "contact";
    case DIRECTORY_NODE_GROUP:
        return "group";
    case DIRECTORY_NODE_EXTERNAL:
        return "external";
    case DIRECTORY_NODE_UNKNOWN:
        break;
    }
    return "unknown";
}

/* What is to be said of a node beside its name; NULL: nothing. */
static const char *
mark_of(const struct expand *expand, size_t index)
{
    const struct directory_node *node = &expand->finding->group->nodes[index];
    const struct flow_finding *person = expand->people[index];

    if (node->kind == DIRECTORY_NODE_GROUP) {
        if (expand->on_path[index])
            return "cycle";
        if (!node->expanded)
            return expand->finding->group_err.reason &&
                           strcmp(expand->finding->group_err.reason, "group-too-deep") == 0
                       ? "depth"
                       : "not expanded";
        return expand->shown[index] ? "shown above" : NULL;
    }
    if (node->kind == DIRECTORY_NODE_UNKNOWN)
        return "in no directory";
    if (!node->address)
        return "no address";
    if (!node->is_member)
        return expand->finding->group_err.code == ERR_OK ? "same address as another member" : NULL;
    if (!person)
        return NULL;
    return person->known == POLICY_YES  ? NULL
           : person->known == POLICY_NO ? "no certificate"
                                        : "certificate could not be checked";
}

static void
print_node(const struct expand *expand, size_t index, unsigned level)
{
    const struct directory_node *node = &expand->finding->group->nodes[index];
    const struct flow_finding *person = expand->people[index];
    const char *mark = mark_of(expand, index);

    if (expand->json) {
        ctl_json_open(expand->json, NULL, '{');
        ctl_json_number(expand->json, "level", level);
        ctl_json_text(expand->json, "kind", kind_name(node));
        ctl_json_text(expand->json, "name", node->name);
        ctl_json_text(expand->json, "address", node->address);
        ctl_json_text(expand->json, "mark", mark);
        ctl_json_text(expand->json, "reason", person ? person->reason : NULL);
        ctl_json_close(expand->json);
        return;
    }
    printf("%*s", (int)(2 * level), "");
    ctl_print(node->address ? node->address : node->name);
    if (node->kind == DIRECTORY_NODE_GROUP)
        fputs(" [group]", stdout);
    if (mark)
        printf(" (%s)", mark);
    if (mark && person && person->known != POLICY_YES) {
        printf(" %s: ", person->reason);
        ctl_print(person->lookup.answer.text);
    }
    putchar('\n');
}

/* As deep as the limit of the configuration allows. */
static void
print_tree(struct expand *expand, size_t index, unsigned level)
{
    const struct directory_node *node = &expand->finding->group->nodes[index];
    bool again = expand->on_path[index] || expand->shown[index];

    print_node(expand, index, level);
    if (again)
        return;
    expand->shown[index] = expand->on_path[index] = true;
    for (size_t i = 0; i < node->child_count; i++)
        print_tree(expand, node->children[i], level + 1);
    expand->on_path[index] = false;
}

static size_t
count_known(const struct flow_finding *finding, enum policy_known known)
{
    size_t count = 0;

    for (size_t i = 0; i < finding->member_count; i++)
        count += finding->members[i].finding->known == known;
    return count;
}

static void
print_json(struct expand *expand, const char *address)
{
    const struct flow_finding *finding = expand->finding;
    const struct directory_group *group = finding->group;
    struct ctl_json json;

    ctl_json_init(&json, stdout);
    expand->json = &json;
    ctl_json_open(&json, NULL, '{');
    ctl_json_text(&json, "address", address);
    ctl_json_text(&json, "reason",
                  finding->group_err.code == ERR_OK ? "ok" : finding->group_err.reason);
    ctl_json_text(&json, "text", finding->group_err.text);
    ctl_json_number(&json, "members", (int64_t)finding->member_count);
    ctl_json_number(&json, "without_certificate", (int64_t)count_known(finding, POLICY_NO));
    ctl_json_number(&json, "not_checked", (int64_t)count_known(finding, POLICY_UNKNOWN));
    ctl_json_number(&json, "groups", (int64_t)group->group_count);
    ctl_json_number(&json, "depth", group->depth);
    ctl_json_number(&json, "without_address", (int64_t)group->without_address);
    ctl_json_number(&json, "unknown", (int64_t)group->unknown);
    ctl_json_number(&json, "waits", (int64_t)expand->waits);
    ctl_json_number(&json, "searches", (int64_t)expand->searches);
    ctl_json_open(&json, "tree", '[');
    print_tree(expand, 0, 0);
    ctl_json_close(&json);
    ctl_json_close(&json);
}

static void
print_text(struct expand *expand)
{
    const struct flow_finding *finding = expand->finding;
    const struct directory_group *group = finding->group;

    print_tree(expand, 0, 0);
    if (finding->group_err.code != ERR_OK) {
        printf("%s %s: ", finding->group_err.code == ERR_TEMP ? "COULD NOT ASK" : "REFUSED",
               finding->group_err.reason ? finding->group_err.reason : "group-malformed");
        ctl_print(finding->group_err.text);
        putchar('\n');
    } else {
        printf("%zu members: %zu with a certificate, %zu without, %zu not checked\n",
               finding->member_count, count_known(finding, POLICY_YES),
               count_known(finding, POLICY_NO), count_known(finding, POLICY_UNKNOWN));
    }
    printf("%zu groups in %u levels, %zu people without an address, %zu in no directory\n",
           group->group_count, group->depth, group->without_address, group->unknown);
    if (expand->waits > 0)
        printf("directory servers were waited for %llu times, for %llu searches\n",
               (unsigned long long)expand->waits, (unsigned long long)expand->searches);
}

static int
exit_code(const struct flow_finding *finding)
{
    if (finding->group_err.code == ERR_TEMP || count_known(finding, POLICY_UNKNOWN) > 0)
        return CTL_EXIT_TEMP;
    if (finding->group_err.code != ERR_OK || count_known(finding, POLICY_NO) > 0)
        return CTL_EXIT_NO;
    return CTL_EXIT_YES;
}

static int
expand_print(struct flow_services *services, const struct flow_finding *finding,
             const char *address, bool as_json)
{
    size_t count = finding->group->count;
    struct expand expand = { .finding = finding,
                             .people = calloc(count, sizeof *expand.people),
                             .shown = calloc(count, sizeof *expand.shown),
                             .on_path = calloc(count, sizeof *expand.on_path) };
    int code = CTL_EXIT_TEMP;

    for (size_t i = 0; i < directory_lookup_directory_count(services->lookup); i++) {
        struct directory_counts counts;
        const char *name;

        directory_lookup_get_counts(services->lookup, i, &name, &counts);
        expand.waits += counts.waits;
        expand.searches += counts.searches;
    }
    if (!expand.people || !expand.shown || !expand.on_path) {
        ctl_say("no memory for the tree");
    } else {
        for (size_t i = 0; i < finding->member_count; i++)
            expand.people[finding->group->members[i]] = finding->members[i].finding;
        if (as_json)
            print_json(&expand, address);
        else
            print_text(&expand);
        code = exit_code(finding);
    }
    free(expand.people);
    free(expand.shown);
    free(expand.on_path);
    return code;
}

void
ctl_expand_show(struct flow_services *services, const char *address, const char *trust)
{
    const struct flow_finding_question question = {
        .address = address, .trust = trust, .sender = "", .expand = true
    };
    struct flow_finding *finding = NULL;
    struct err err = ERR_INIT;

    if (flow_finding_load(services, &question, NULL, &finding, &err) != ERR_OK)
        ctl_say("%s", err.text);
    else if (finding->group)
        (void)expand_print(services, finding, address, false);
    flow_finding_free(&finding);
}

static int
expand_run(struct flow_services *services, const char *address, const char *trust, bool as_json)
{
    struct flow_finding_question question = { .trust = trust, .sender = "", .expand = true };
    struct flow_finding *finding = NULL;
    char formatted[MIME_ADDRESS_SIZE];
    struct err err = ERR_INIT;
    enum err_code found = mime_address_format(span_str(address), formatted, &err);
    int code;

    if (found == ERR_PERM || found == ERR_LIMIT) {
        ctl_say("\"%s\" is no address: %s", address, err.text);
        return CTL_EXIT_USAGE;
    }
    question.address = formatted;
    if (found != ERR_OK || flow_finding_load(services, &question, NULL, &finding, &err) != ERR_OK)
        return ctl_fail(&err);
    if (finding->group) {
        code = expand_print(services, finding, formatted, as_json);
    } else {
        bool temp = finding->known == POLICY_UNKNOWN;

        ctl_say("%s is not a group%s%s", formatted, temp ? ", or could not be asked about: " : "",
                temp ? finding->lookup.answer.text : "");
        code = temp ? CTL_EXIT_TEMP : CTL_EXIT_NO;
    }
    flow_finding_free(&finding);
    return code;
}

int
ctl_expand(int argc, char **argv)
{
    struct ctl_common common = { .config = NULL };
    struct flow_services *services = NULL;
    const char *trust = "default";
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(common),
                                        { "trust", 0, CTL_OPTION_VALUE, &trust },
                                        { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_MAYBE };
    int code = CTL_EXIT_USAGE;

    if (!ctl_options_parse(&options, argc, argv))
        return CTL_EXIT_USAGE;
    if (!options.operand)
        ctl_say("expand needs the address of a GROUP");
    else if ((code = ctl_context_load(&common, &services)) == CTL_EXIT_YES)
        code = expand_run(services, options.operand, trust, common.json);
    flow_services_free(&services);
    return code;
}
