/*
 * Entries by their distinguished names: members of groups, many at once.
 */
#include <stdlib.h>

#include "directory/dn.h"
#include "directory/ldap_private.h"

static enum err_code
out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for a directory");
}

/* Names that one OR filter finds (below our base, and an attribute holds them), and names that are
 * asked for one by one. `forms` of questions that are no names are NULL: they name nobody. */
struct names {
    char **forms;
    const char **many, **single;
    size_t *many_at, *single_at; /* the question of each */
    size_t many_count, single_count;
};

static void
names_deinit(struct names *names, size_t count)
{
    for (size_t i = 0; names->forms && i < count; i++)
        free(names->forms[i]);
    free(names->forms);
    free(names->many);
    free(names->single);
    free(names->many_at);
    free(names->single_at);
}

static enum err_code
names_init(struct names *names, const struct directory_ldap *ldap,
           const struct directory_questions *questions, struct err *err)
{
    size_t n = questions->count + 1;
    *names = (struct names){ .forms = calloc(n, sizeof(char *)),
                             .many = calloc(n, sizeof(char *)),
                             .single = calloc(n, sizeof(char *)),
                             .many_at = calloc(n, sizeof(size_t)),
                             .single_at = calloc(n, sizeof(size_t)) };
    if (!names->forms || !names->many || !names->single || !names->many_at || !names->single_at)
        return out_of_memory(err);
    for (size_t i = 0; i < questions->count; i++) {
        const char *form = names->forms[i] = directory_dn_get(questions->list[i]);
        if (!form || !form[0])
            continue;
        if (ldap->schema->dn_attribute[0] && directory_dn_is_below(form, ldap->base_form)) {
            names->many_at[names->many_count] = i;
            names->many[names->many_count++] = questions->list[i];
        } else {
            names->single_at[names->single_count] = i;
            names->single[names->single_count++] = questions->list[i];
        }
    }
    return ERR_OK;
}

/* One search for each name, all of them waited for together. */
static enum err_code
find_singles(const struct directory_ldap_batch *batch, const struct names *names,
             struct directory_person **best, struct directory_people *people, struct err *err)
{
    struct directory_ldap_search *searches = calloc(names->single_count + 1, sizeof *searches);
    enum err_code code = searches ? ERR_OK : out_of_memory(err);
    for (size_t i = 0; code == ERR_OK && i < names->single_count; i++)
        searches[i] = (struct directory_ldap_search){ .base = names->single[i],
                                                      .filter = "(objectClass=*)",
                                                      .scope = DIRECTORY_SCOPE_BASE,
                                                      .limit = 1 };
    if (code == ERR_OK)
        code = directory_ldap_batch_run(batch, searches, names->single_count, err);
    for (size_t i = 0; code == ERR_OK && i < names->single_count; i++) {
        size_t before = people->count;
        code = directory_ldap_batch_check(batch, &searches[i], err);
        if (code == ERR_OK)
            code = directory_people_append(people, batch->schema, &searches[i], err);
        if (code == ERR_OK && people->count > before)
            best[names->single_at[i]] = people->list[before];
    }
    for (size_t i = 0; searches && i < names->single_count; i++)
        directory_ldap_search_reset(&searches[i]);
    free(searches);
    return code;
}

/* Gives each found person to the questions that name it. */
static enum err_code
match_names(const struct names *names, const struct directory_people *people, size_t from,
            struct directory_person **best, struct err *err)
{
    struct directory_ldap_slot *slots = calloc(names->many_count + 1, sizeof *slots);
    if (!slots)
        return out_of_memory(err);
    for (size_t i = 0; i < names->many_count; i++)
        slots[i] = (struct directory_ldap_slot){ .text = names->forms[names->many_at[i]],
                                                 .question = names->many_at[i] };
    directory_ldap_slots_init(slots, names->many_count);
    for (size_t i = from; i < people->count; i++) {
        char *form = directory_dn_get(people->list[i]->dn);
        if (form)
            directory_ldap_slots_set(slots, names->many_count, form, people->list[i]);
        free(form);
    }
    for (size_t i = 0; i < names->many_count; i++)
        best[slots[i].question] = slots[i].best;
    free(slots);
    return ERR_OK;
}

enum err_code
directory_ldap_find_dns(struct directory *directory, const struct directory_questions *questions,
                        struct directory_entries *out, struct err *err)
{
    struct directory_ldap *ldap = (struct directory_ldap *)directory;
    struct directory_ldap_batch batch = directory_ldap_batch_of(ldap, questions->deadline_ms);
    struct directory_people people = { .list = NULL };
    struct directory_person **best =
        calloc(questions->count + 1, sizeof(struct directory_person *));
    struct names names;
    enum err_code code = names_init(&names, ldap, questions, err);
    if (code == ERR_OK && !best)
        code = out_of_memory(err);
    if (code == ERR_OK && names.single_count > 0)
        code = find_singles(&batch, &names, best, &people, err);
    size_t from = people.count;
    if (code == ERR_OK && names.many_count > 0)
        code = directory_ldap_batch_ask(&batch, directory_ldap_question_dn, names.many,
                                        names.many_count, &people, err);
    if (code == ERR_OK)
        code = match_names(&names, &people, from, best, err);
    if (code == ERR_OK)
        code = directory_ldap_answer(best, questions->count, out, err);
    names_deinit(&names, questions->count);
    directory_people_free(&people);
    free(best);
    return code;
}
