/*
 * Credentials hold no secret: an initiator's names an identity, whose key the agent has; an
 * acceptor's names a service, for which the acceptor decides. So one can be exported, imported and
 * shared by threads; it is never changed.
 */

#define _GNU_SOURCE
#include "gss_credential.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "gss_exchange.h"
#include "gss_mechanism.h"
#include "gss_status.h"

#define EXPORT __attribute__((visibility("default")))

/* The name of a store's element that says where the acceptor is. */
#define STORE_ACCEPTOR "browserid_acceptor"

const struct credential *credential_of(gss_cred_id_t handle) {
    return (const struct credential *)handle;
}

const char *credential_default_acceptor(void) {
    const char *named = secure_getenv("BROWSERID_ACCEPTOR");

    return named && *named ? named : ACCEPTOR;
}

static void release(struct credential *credential) {
    if (!credential)
        return;
    name_release(credential->name);
    free(credential->acceptor);
    free(credential);
}

static bool initiates(gss_cred_usage_t usage) {
    return usage == GSS_C_INITIATE || usage == GSS_C_BOTH;
}

static bool accepts(gss_cred_usage_t usage) {
    return usage == GSS_C_ACCEPT || usage == GSS_C_BOTH;
}

/* Who would log in: an identity's whole address. `asked` is what the program calls it, or NULL. */
static OM_uint32 ask_who(OM_uint32 *minor, int mechanism, const char *asked, struct name **name) {
    struct exchange exchange = {0};
    struct wire_line answer;
    const char *identity;
    OM_uint32 major = exchange_begin_agent(minor, &exchange, "WHO", NULL);

    if (major != GSS_S_COMPLETE)
        return major;
    if (asked)
        wire_text(exchange.wire, "", "authname", asked);
    major = exchange_ask(minor, &exchange, &answer, NULL);
    identity = major == GSS_S_COMPLETE ? exchange_value(&exchange, &answer, "identity") : NULL;
    if (identity)
        major = name_from_text(minor, mechanism, identity, name);
    else if (!GSS_ERROR(major))
        major = gss_status_fail(minor, GSS_S_FAILURE, REASON_UNAVAILABLE,
                                "the agent does not say who is signed in");
    exchange_end(&exchange, true);
    return major;
}

/* That there is somebody to log in as, and who that is. */
static OM_uint32 find_identity(OM_uint32 *minor, struct credential *credential) {
    struct name *asked = credential->name;
    OM_uint32 major;

    if (asked && asked->is_service)
        return gss_status_fail(minor, GSS_S_NO_CRED, REASON_CRED_USAGE,
                               "%s is a service, and people log in by their address", asked->text);
    if (!agent_is_of_use()) /* to start an agent for somebody without an identity helps nobody */
        return gss_status_fail(minor, GSS_S_NO_CRED, REASON_NO_DEFAULT_CRED,
                               "nobody is signed in: browserid login ADDRESS");
    credential->name = NULL;
    major = ask_who(minor, credential->mechanism, asked ? asked->text : NULL, &credential->name);
    name_release(asked);
    if (!GSS_ERROR(major) || *minor == REASON_NO_MEMORY)
        return major;
    /* Who it is may hang on the service, which is not known yet. */
    return asked || *minor == REASON_UNAVAILABLE ? GSS_S_NO_CRED : GSS_S_COMPLETE;
}

static OM_uint32 find_acceptor(OM_uint32 *minor, const struct credential *credential) {
    if (credential->name && !credential->name->is_service)
        return gss_status_fail(minor, GSS_S_NO_CRED, REASON_CRED_USAGE,
                               "%s is a person, and contexts are accepted for a service@host",
                               credential->name->text);
    if (access(credential->acceptor, W_OK) == 0)
        return GSS_S_COMPLETE;
    return gss_status_fail(minor, GSS_S_NO_CRED, REASON_UNAVAILABLE,
                           "the acceptor at %s: there is none, or its owner and mode keep this "
                           "program out",
                           credential->acceptor);
}

static const char *stored(gss_const_key_value_set_t store, const char *name) {
    for (OM_uint32 i = 0; store && i < store->count; i++)
        if (strcmp(store->elements[i].key, name) == 0)
            return store->elements[i].value;
    return NULL;
}

static OM_uint32 fill(OM_uint32 *minor, struct credential *credential, const struct name *name,
                      gss_const_key_value_set_t store) {
    const char *acceptor = stored(store, STORE_ACCEPTOR);
    OM_uint32 major = GSS_S_COMPLETE, accept;

    credential->acceptor = strdup(acceptor ? acceptor : credential_default_acceptor());
    if (!credential->acceptor)
        return gss_status_no_memory(minor);
    if (name)
        major = name_duplicate(minor, name, &credential->name);
    if (major != GSS_S_COMPLETE)
        return major;
    if (credential->usage == GSS_C_INITIATE)
        return find_identity(minor, credential);
    if (credential->usage == GSS_C_ACCEPT)
        return find_acceptor(minor, credential);
    /* For both, one is enough: which of them it is for is known when it is used. */
    if (!name || name->is_service)
        accept = find_acceptor(minor, credential);
    else
        accept = GSS_S_NO_CRED;
    if (!name || !name->is_service)
        major = find_identity(minor, credential);
    return accept == GSS_S_COMPLETE ? accept : major;
}

static OM_uint32 add_mechanism(OM_uint32 *minor, int row, gss_OID_set *mechanisms) {
    const gss_OID_desc *const one[] = {mechanism_oid(row)};

    return mechanisms ? mechanism_set(minor, one, 1, mechanisms) : GSS_S_COMPLETE;
}

static int wanted_mechanism(gss_const_OID_set wanted) {
    for (size_t i = 0; wanted && i < wanted->count; i++)
        if (mechanism_of(&wanted->elements[i]) != NO_MECHANISM)
            return mechanism_of(&wanted->elements[i]);
    return NO_MECHANISM;
}

static OM_uint32 acquire(OM_uint32 *minor, gss_name_t name, gss_OID_set wanted,
                         gss_cred_usage_t usage, gss_const_key_value_set_t store,
                         gss_cred_id_t *handle, gss_OID_set *mechanisms,
                         OM_uint32 *lifetime_given) {
    int row = wanted_mechanism(wanted);
    struct credential *made;
    OM_uint32 major;

    *minor = 0;
    *handle = GSS_C_NO_CREDENTIAL;
    if (row == NO_MECHANISM)
        return gss_status_fail(minor, GSS_S_BAD_MECH, REASON_WRONG_MECH, "there is no such mechanism");
    made = calloc(1, sizeof *made);
    if (!made)
        return gss_status_no_memory(minor);
    made->mechanism = row;
    made->usage = usage;
    major = fill(minor, made, (const struct name *)name, store);
    if (major == GSS_S_COMPLETE)
        major = add_mechanism(minor, row, mechanisms);
    if (major != GSS_S_COMPLETE) {
        release(made);
        return major;
    }
    *minor = 0;
    *handle = (gss_cred_id_t)made;
    if (lifetime_given) /* the agent renews what runs out */
        *lifetime_given = GSS_C_INDEFINITE;
    return GSS_S_COMPLETE;
}

/* Not by way of each other: an exported name may be mechglue's own function when it is called. */
EXPORT OM_uint32 gss_acquire_cred(OM_uint32 *minor, gss_name_t name, OM_uint32 lifetime,
                                  gss_OID_set wanted, gss_cred_usage_t usage, gss_cred_id_t *handle,
                                  gss_OID_set *mechanisms, OM_uint32 *lifetime_given) {
    (void)lifetime;
    return acquire(minor, name, wanted, usage, NULL, handle, mechanisms, lifetime_given);
}

EXPORT OM_uint32 gss_acquire_cred_from(OM_uint32 *minor, gss_name_t name, OM_uint32 lifetime,
                                       gss_OID_set wanted, gss_cred_usage_t usage,
                                       gss_const_key_value_set_t store, gss_cred_id_t *handle,
                                       gss_OID_set *mechanisms, OM_uint32 *lifetime_given) {
    (void)lifetime;
    return acquire(minor, name, wanted, usage, store, handle, mechanisms, lifetime_given);
}

EXPORT OM_uint32 gss_release_cred(OM_uint32 *minor, gss_cred_id_t *handle) {
    *minor = 0;
    release((struct credential *)*handle);
    *handle = GSS_C_NO_CREDENTIAL;
    return GSS_S_COMPLETE;
}

/* The name of a credential, as far as it is known. */
static OM_uint32 name_of(OM_uint32 *minor, const struct credential *credential, gss_name_t *name) {
    struct name *made = NULL;
    OM_uint32 major = GSS_S_COMPLETE;

    if (!name)
        return GSS_S_COMPLETE;
    *name = GSS_C_NO_NAME;
    if (credential->name)
        major = name_duplicate(minor, credential->name, &made);
    else if (initiates(credential->usage))
        major = ask_who(minor, credential->mechanism, NULL, &made);
    *name = (gss_name_t)made;
    return major;
}

EXPORT OM_uint32 gss_inquire_cred_by_mech(OM_uint32 *minor, gss_cred_id_t handle, gss_OID mechanism,
                                          gss_name_t *name, OM_uint32 *initiator_lifetime,
                                          OM_uint32 *acceptor_lifetime, gss_cred_usage_t *usage) {
    const struct credential *credential = credential_of(handle);
    const struct credential default_one = {mechanism_of(mechanism), GSS_C_INITIATE, NULL, NULL};

    *minor = 0;
    if (!credential && default_one.mechanism == NO_MECHANISM)
        return gss_status_fail(minor, GSS_S_BAD_MECH, REASON_WRONG_MECH, "there is no such mechanism");
    if (!credential)
        credential = &default_one;
    if (initiator_lifetime)
        *initiator_lifetime = initiates(credential->usage) ? GSS_C_INDEFINITE : 0;
    if (acceptor_lifetime)
        *acceptor_lifetime = accepts(credential->usage) ? GSS_C_INDEFINITE : 0;
    if (usage)
        *usage = credential->usage;
    return name_of(minor, credential, name);
}

EXPORT OM_uint32 gss_inquire_cred(OM_uint32 *minor, gss_cred_id_t handle, gss_name_t *name,
                                  OM_uint32 *lifetime, int *usage, gss_OID_set *mechanisms) {
    const struct credential *credential = credential_of(handle);
    OM_uint32 major;

    *minor = 0;
    if (!credential)
        return gss_status_fail(minor, GSS_S_NO_CRED, REASON_NO_DEFAULT_CRED,
                               "there is no credential to look at");
    if (lifetime)
        *lifetime = GSS_C_INDEFINITE;
    if (usage)
        *usage = credential->usage;
    major = name_of(minor, credential, name);
    if (major != GSS_S_COMPLETE)
        return major;
    major = add_mechanism(minor, credential->mechanism, mechanisms);
    if (major != GSS_S_COMPLETE && name) {
        name_release((struct name *)*name);
        *name = GSS_C_NO_NAME;
    }
    return major;
}

/* Exported credentials: mechanism, usage, the acceptor's path and the name's text, a line each. */
EXPORT OM_uint32 gss_export_cred(OM_uint32 *minor, gss_cred_id_t handle, gss_buffer_t token) {
    const struct credential *credential = credential_of(handle);
    char *text;
    int length = asprintf(&text, "%s\n%d\n%s\n%s", mechanism_name(credential->mechanism),
                          credential->usage, credential->acceptor,
                          credential->name ? credential->name->text : "");

    *minor = 0;
    if (length < 0)
        return gss_status_no_memory(minor);
    token->value = text;
    token->length = (size_t)length;
    return GSS_S_COMPLETE;
}

static bool read_usage(const char *text, gss_cred_usage_t *usage) {
    if (strlen(text) != 1 || *text < '0' + GSS_C_BOTH || *text > '0' + GSS_C_ACCEPT)
        return false;
    *usage = *text - '0';
    return true;
}

static OM_uint32 read_credential(OM_uint32 *minor, struct credential *credential, char *text) {
    const char *mechanism = strsep(&text, "\n"), *usage = strsep(&text, "\n");
    const char *acceptor = strsep(&text, "\n"), *name = text;

    credential->mechanism = mechanism_named(mechanism, strlen(mechanism));
    if (credential->mechanism == NO_MECHANISM || !name || !read_usage(usage, &credential->usage))
        return gss_status_fail(minor, GSS_S_DEFECTIVE_TOKEN, REASON_BAD_CONTEXT_TOKEN,
                               "this is no exported credential");
    credential->acceptor = strdup(acceptor);
    if (!credential->acceptor)
        return gss_status_no_memory(minor);
    return *name ? name_from_text(minor, credential->mechanism, name, &credential->name)
                 : GSS_S_COMPLETE;
}

EXPORT OM_uint32 gss_import_cred(OM_uint32 *minor, gss_buffer_t token, gss_cred_id_t *handle) {
    struct credential *made = calloc(1, sizeof *made);
    char *text = strndup(token->length > 0 ? token->value : "", token->length);
    OM_uint32 major;

    *minor = 0;
    *handle = GSS_C_NO_CREDENTIAL;
    major = made && text ? read_credential(minor, made, text) : gss_status_no_memory(minor);
    free(text);
    if (major == GSS_S_COMPLETE)
        *handle = (gss_cred_id_t)made;
    else
        release(made);
    return major;
}

EXPORT OM_uint32 gssspi_set_cred_option(OM_uint32 *minor, gss_cred_id_t *handle, const gss_OID what,
                                        const gss_buffer_t value) {
    (void)handle;
    (void)what;
    (void)value;
    return gss_status_fail(minor, GSS_S_UNAVAILABLE, REASON_INVALID_PARAMETER,
                           "credentials have no such option");
}
