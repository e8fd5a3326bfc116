/*
 * Names, as browserid_sasl.gss.names and exported_names read and write them: a person's address, or
 * service/host. What is read here is somebody's word on a name, and is compared and shown, no more;
 * the agent and the acceptor read again what they are told.
 */

#define _GNU_SOURCE
#include "gss_name.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gss_mechanism.h"
#include "gss_status.h"

/* 1.3.6.1.4.1.5322.24.2.1: an address or service/host. */
const gss_OID_desc name_own_form = {10, "\x2b\x06\x01\x04\x01\xa9\x4a\x18\x02\x01"};

enum { EXPORTED_HEADER = 4, EXPORTED_LENGTH = 4, TAG_OID = 6 };

static bool same_oid(gss_const_OID one, gss_const_OID other) {
    return one && other && one->length == other->length &&
           memcmp(one->elements, other->elements, one->length) == 0;
}

static OM_uint32 bad(OM_uint32 *minor, const char *why) {
    return gss_status_fail(minor, GSS_S_BAD_NAME, REASON_BAD_NAME_TOKEN,
                           "the name cannot be used: %s", why);
}

void name_release(struct name *name) {
    if (!name)
        return;
    for (size_t i = 0; i < name->count; i++) {
        for (size_t j = 0; j < name->attributes[i].count; j++)
            free(name->attributes[i].texts[j]);
        free(name->attributes[i].texts);
    }
    free(name->attributes);
    free(name->text);
    free(name->service);
    free(name->host);
    free(name->local);
    free(name);
}

static void lower(char *text) {
    for (; text && *text; text++)
        *text = (char)tolower((unsigned char)*text);
}

static bool is_host(const char *text) {
    static const char permitted[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                    "_.:-";

    return text[strspn(text, permitted)] == '\0';
}

/* RFC 4422 section 5, and what browserid_sasl.gss.names adds. */
static bool is_service(const char *text) {
    size_t length = strlen(text);

    return length > 0 && length <= 63 && isalnum((unsigned char)*text) && is_host(text) &&
           !strchr(text, ':');
}

/*
 * Take a text apart at a separator that has no backslash before it. A backslash takes away the
 * special meaning of the character after it, and makes control characters of four letters
 * (RFC 1964 section 2.1.1), which are in none of our names.
 */
static int split(const char *text, char separator, char parts[][NAME_LONGEST + 1], int most) {
    size_t length = 0;
    int count = 1;

    for (; *text; text++) {
        if (*text == separator) {
            parts[count - 1][length] = '\0';
            if (count++ == most)
                return -1;
            length = 0;
            continue;
        }
        if (*text == '\\' && strchr("ntb0", *++text)) /* or nothing is behind it */
            return -1;
        parts[count - 1][length++] = *text;
    }
    parts[count - 1][length] = '\0';
    return count;
}

/* The canonical text of a part: a separator in it has a backslash before it. */
static void put_escaped(char *to, const char *text, const char *separators) {
    for (; *text; text++) {
        if (*text == '\\' || strchr(separators, *text))
            *to++ = '\\';
        *to++ = *text;
    }
    *to = '\0';
}

static OM_uint32 make_service(OM_uint32 *minor, struct name *name, const char *service,
                              const char *host, const char *specific) {
    char escaped[2 * NAME_LONGEST + 1];
    size_t length = strlen(host);

    if (!is_service(service) || !is_host(host))
        return bad(minor, "it is not that of a service on a host");
    while (length > 0 && host[length - 1] == '.')
        length--;
    put_escaped(escaped, specific, "/@");
    name->is_service = true;
    name->service = strdup(service);
    name->host = strndup(host, length);
    if (!name->service || !name->host)
        return gss_status_no_memory(minor);
    lower(name->host);
    if (asprintf(&name->text, "%s/%s%s%s", service, name->host, *specific ? "/" : "", escaped) < 0)
        return name->text = NULL, gss_status_no_memory(minor);
    return GSS_S_COMPLETE;
}

/* A person: an address, or what is before its @ where that is enough to know who is meant. */
static OM_uint32 make_person(OM_uint32 *minor, struct name *name, const char *email) {
    char escaped[2 * NAME_LONGEST + 1];

    if (!*email)
        return bad(minor, "it is empty");
    put_escaped(escaped, email, "/");
    name->text = strdup(escaped);
    if (!name->text)
        return gss_status_no_memory(minor);
    lower(strrchr(name->text, '@'));
    return GSS_S_COMPLETE;
}

static OM_uint32 read_hostbased(OM_uint32 *minor, struct name *name, const char *text) {
    char parts[2][NAME_LONGEST + 1];
    int count = split(text, '@', parts, 2);

    if (count < 0)
        return bad(minor, "it is not service@host");
    return make_service(minor, name, parts[0], count == 2 ? parts[1] : "", "");
}

static OM_uint32 read_either(OM_uint32 *minor, struct name *name, const char *text) {
    char parts[3][NAME_LONGEST + 1];
    int count = split(text, '/', parts, 3);

    if (count < 0)
        return bad(minor, "it is neither an address nor service/host");
    if (count == 1)
        return make_person(minor, name, parts[0]);
    return make_service(minor, name, parts[0], parts[1], count == 3 ? parts[2] : "");
}

static OM_uint32 read_user(OM_uint32 *minor, struct name *name, const char *text) {
    char parts[1][NAME_LONGEST + 1];

    if (split(text, '\0', parts, 1) < 0)
        return bad(minor, "it ends with a backslash, or has control characters");
    return make_person(minor, name, parts[0]);
}

static unsigned long big_endian(const unsigned char *octets, int count) {
    unsigned long number = 0;

    while (count-- > 0)
        number = number << 8 | *octets++;
    return number;
}

/* The text in an exported name (RFC 2743 section 3.2), and which mechanism it is of. */
static bool open_exported(const gss_buffer_desc *octets, int *mechanism, gss_buffer_desc *text) {
    const unsigned char *from = octets->value;
    size_t oid_length, at;
    gss_OID_desc oid;

    if (octets->length < EXPORTED_HEADER + 2 || memcmp(from, "\x04\x01", 2) != 0)
        return false;
    oid_length = big_endian(from + 2, 2);
    at = EXPORTED_HEADER + oid_length;
    if (oid_length < 2 || octets->length < at + EXPORTED_LENGTH || from[4] != TAG_OID ||
        from[5] != oid_length - 2)
        return false;
    oid.length = (OM_uint32)(oid_length - 2);
    oid.elements = (void *)(from + 6);
    *mechanism = mechanism_of(&oid);
    text->length = big_endian(from + at, EXPORTED_LENGTH);
    text->value = (void *)(from + at + EXPORTED_LENGTH);
    return *mechanism != NO_MECHANISM && octets->length - at - EXPORTED_LENGTH == text->length;
}

/* Programs count the zero octet behind a text with it, as MIT's own do. Another is no text. */
static bool copy_text(const gss_buffer_desc *octets, char text[NAME_LONGEST + 1]) {
    const unsigned char *from = octets->value;
    size_t length = octets->length;

    if (length > 0 && from[length - 1] == '\0')
        length--;
    if (length > NAME_LONGEST)
        return false;
    for (size_t i = 0; i < length; i++)
        if (from[i] < ' ' || from[i] == 0x7f)
            return false;
    if (length > 0)
        memcpy(text, from, length);
    text[length] = '\0';
    return true;
}

static OM_uint32 read_text(OM_uint32 *minor, struct name *name, const char *text,
                           gss_const_OID type) {
    if (same_oid(type, GSS_C_NT_HOSTBASED_SERVICE) || same_oid(type, GSS_C_NT_HOSTBASED_SERVICE_X))
        return read_hostbased(minor, name, text);
    if (same_oid(type, GSS_C_NT_USER_NAME))
        return read_user(minor, name, text);
    if (!type || type->length == 0 || same_oid(type, &name_own_form) || same_oid(type, GSS_C_NT_EXPORT_NAME))
        return read_either(minor, name, text);
    return gss_status_fail(minor, GSS_S_BAD_NAMETYPE, REASON_BAD_NAME_TOKEN,
                           "names of this form are not known here");
}

OM_uint32 name_import(OM_uint32 *minor, int mechanism, const gss_buffer_desc *octets,
                      gss_const_OID type, struct name **name) {
    char text[NAME_LONGEST + 1];
    gss_buffer_desc inner = *octets;
    struct name *made;
    OM_uint32 major;

    *name = NULL;
    if (same_oid(type, GSS_C_NT_EXPORT_NAME) && !open_exported(octets, &mechanism, &inner))
        return bad(minor, "it is not an exported name of this family of mechanisms");
    if (!copy_text(&inner, text))
        return bad(minor, "it is too long, or has characters that cannot be printed");
    made = calloc(1, sizeof *made);
    if (!made)
        return gss_status_no_memory(minor);
    made->mechanism = mechanism;
    major = read_text(minor, made, text, type);
    if (major == GSS_S_COMPLETE && same_oid(type, GSS_C_NT_EXPORT_NAME) &&
        strcmp(made->text, text) != 0)
        major = bad(minor, "it was not exported in its canonical form");
    /* The canonical text has backslashes that what was read had not. */
    if (major == GSS_S_COMPLETE && strlen(made->text) > NAME_LONGEST)
        major = bad(minor, "it is too long");
    if (major != GSS_S_COMPLETE)
        name_release(made);
    else
        *name = made;
    return major;
}

OM_uint32 name_from_text(OM_uint32 *minor, int mechanism, const char *text, struct name **name) {
    gss_buffer_desc octets = {strlen(text), (void *)text};

    return name_import(minor, mechanism, &octets, &name_own_form, name);
}

/* One more element at the end of an array. */
static void *grown(void *array, size_t count, size_t size) {
    return reallocarray(array, count + 1, size);
}

bool name_add_attribute(struct name *name, const char *text, bool authenticated) {
    struct name_attribute *grow = grown(name->attributes, name->count, sizeof *grow);

    if (!grow)
        return false;
    name->attributes = grow;
    name->attributes[name->count++] = (struct name_attribute){.authenticated = authenticated};
    return name_add_value(name, text);
}

bool name_add_value(struct name *name, const char *text) {
    struct name_attribute *attribute;
    char **grow, *copy;

    if (name->count == 0)
        return false;
    attribute = &name->attributes[name->count - 1];
    copy = strdup(text);
    grow = copy ? grown(attribute->texts, attribute->count, sizeof *grow) : NULL;
    if (!grow) {
        free(copy);
        return false;
    }
    attribute->texts = grow;
    attribute->texts[attribute->count++] = copy;
    return true;
}

static bool copy_attributes(const struct name *from, struct name *to) {
    for (size_t i = 0; i < from->count; i++) {
        const struct name_attribute *attribute = &from->attributes[i];

        for (size_t j = 0; j < attribute->count; j++)
            if (j == 0 ? !name_add_attribute(to, attribute->texts[j], attribute->authenticated)
                       : !name_add_value(to, attribute->texts[j]))
                return false;
    }
    return true;
}

OM_uint32 name_duplicate(OM_uint32 *minor, const struct name *name, struct name **copy) {
    OM_uint32 major = name_from_text(minor, name->mechanism, name->text, copy);

    if (major != GSS_S_COMPLETE)
        return major;
    if (name->local && !((*copy)->local = strdup(name->local)))
        major = gss_status_no_memory(minor);
    if (major == GSS_S_COMPLETE && !copy_attributes(name, *copy))
        major = gss_status_no_memory(minor);
    if (major != GSS_S_COMPLETE) {
        name_release(*copy);
        *copy = NULL;
    }
    return major;
}

/* What mechglue calls */

#define EXPORT __attribute__((visibility("default")))

static struct name *name_of(gss_name_t handle) { return (struct name *)handle; }

/* An empty text takes no memory: gss_release_buffer frees none that is of no length. */
static OM_uint32 put_buffer(OM_uint32 *minor, const char *text, gss_buffer_t buffer) {
    *buffer = (gss_buffer_desc)GSS_C_EMPTY_BUFFER;
    if (!*text)
        return GSS_S_COMPLETE;
    buffer->value = strdup(text);
    if (!buffer->value)
        return gss_status_no_memory(minor);
    buffer->length = strlen(text);
    return GSS_S_COMPLETE;
}

EXPORT OM_uint32 gssspi_import_name_by_mech(OM_uint32 *minor, gss_OID mechanism,
                                            gss_buffer_t octets, gss_OID type, gss_name_t *name) {
    struct name *made;
    OM_uint32 major;

    *minor = 0;
    *name = GSS_C_NO_NAME;
    if (mechanism_of(mechanism) == NO_MECHANISM)
        return gss_status_fail(minor, GSS_S_BAD_MECH, REASON_WRONG_MECH, "there is no such mechanism");
    major = name_import(minor, mechanism_of(mechanism), octets, type, &made);
    *name = (gss_name_t)made;
    return major;
}

EXPORT OM_uint32 gss_release_name(OM_uint32 *minor, gss_name_t *name) {
    *minor = 0;
    name_release(name_of(*name));
    *name = GSS_C_NO_NAME;
    return GSS_S_COMPLETE;
}

EXPORT OM_uint32 gss_duplicate_name(OM_uint32 *minor, const gss_name_t name, gss_name_t *copy) {
    struct name *made;
    OM_uint32 major;

    *minor = 0;
    major = name_duplicate(minor, name_of(name), &made);
    *copy = (gss_name_t)made;
    return major;
}

EXPORT OM_uint32 gss_display_name(OM_uint32 *minor, gss_name_t name, gss_buffer_t text,
                                  gss_OID *type) {
    *minor = 0;
    if (type)
        *type = (gss_OID)&name_own_form;
    return put_buffer(minor, name_of(name)->text, text);
}

EXPORT OM_uint32 gss_compare_name(OM_uint32 *minor, gss_name_t one, gss_name_t other, int *equal) {
    const struct name *first = name_of(one), *second = name_of(other);

    *minor = 0;
    *equal = first->is_service == second->is_service && strcmp(first->text, second->text) == 0;
    return GSS_S_COMPLETE;
}

EXPORT OM_uint32 gss_export_name(OM_uint32 *minor, const gss_name_t handle, gss_buffer_t exported) {
    const struct name *name = name_of(handle);
    const gss_OID_desc *oid = mechanism_oid(name->mechanism);
    size_t length = strlen(name->text), der = oid->length + 2;
    unsigned char *to;

    *minor = 0;
    exported->length = EXPORTED_HEADER + der + EXPORTED_LENGTH + length;
    to = exported->value = malloc(exported->length);
    if (!to)
        return exported->length = 0, gss_status_no_memory(minor);
    memcpy(to, (unsigned char[]){4, 1, (unsigned char)(der >> 8), (unsigned char)der, TAG_OID,
                                 (unsigned char)oid->length}, EXPORTED_HEADER + 2);
    memcpy(to + EXPORTED_HEADER + 2, oid->elements, oid->length);
    to += EXPORTED_HEADER + der;
    for (int i = EXPORTED_LENGTH; i-- > 0;)
        *to++ = (unsigned char)(length >> (8 * i));
    memcpy(to, name->text, length);
    return GSS_S_COMPLETE;
}

EXPORT OM_uint32 gss_inquire_names_for_mech(OM_uint32 *minor, gss_OID mechanism,
                                            gss_OID_set *types) {
    const gss_OID_desc *const all[] = {GSS_C_NT_HOSTBASED_SERVICE, GSS_C_NT_USER_NAME, GSS_C_NT_EXPORT_NAME,
                           &name_own_form};

    (void)mechanism;
    *minor = 0;
    return mechanism_set(minor, all, sizeof all / sizeof *all, types);
}

/* Attributes */

/*
 * A set with the attributes' names. The library's own way to add to one loses what is in it for lack
 * of memory, and then crashes on it.
 */
static OM_uint32 list_attributes(OM_uint32 *minor, const struct name *name,
                                 gss_buffer_set_t *names) {
    gss_buffer_set_t set = calloc(1, sizeof *set);
    OM_uint32 major = set ? GSS_S_COMPLETE : gss_status_no_memory(minor), ignored;

    if (set)
        set->elements = calloc(name->count, sizeof *set->elements);
    if (set && !set->elements)
        major = gss_status_no_memory(minor);
    for (size_t i = 0; major == GSS_S_COMPLETE && i < name->count; i++) {
        major = put_buffer(minor, name->attributes[i].texts[0], &set->elements[i]);
        set->count = i + 1;
    }
    *names = set;
    if (major != GSS_S_COMPLETE)
        gss_release_buffer_set(&ignored, names);
    return major;
}

EXPORT OM_uint32 gss_inquire_name(OM_uint32 *minor, gss_name_t handle, int *is_mechanisms,
                                  gss_OID *mechanism, gss_buffer_set_t *names) {
    const struct name *name = name_of(handle);

    *minor = 0;
    if (is_mechanisms)
        *is_mechanisms = 1;
    if (mechanism)
        *mechanism = mechanism_oid(name->mechanism);
    if (!names)
        return GSS_S_COMPLETE;
    *names = GSS_C_NO_BUFFER_SET;
    return name->count > 0 ? list_attributes(minor, name, names) : GSS_S_COMPLETE;
}

static bool same_text(const gss_buffer_desc *one, const gss_buffer_desc *other) {
    return one->length == other->length &&
           (one->length == 0 || memcmp(one->value, other->value, one->length) == 0);
}

static const struct name_attribute *find_attribute(const struct name *name,
                                                   const gss_buffer_desc *wanted) {
    for (size_t i = 0; i < name->count; i++) {
        char *text = name->attributes[i].texts[0];

        if (same_text(&(gss_buffer_desc){strlen(text), text}, wanted))
            return &name->attributes[i];
    }
    return NULL;
}

static OM_uint32 no_account(OM_uint32 *minor, const struct name *name) {
    return gss_status_fail(minor, GSS_S_UNAVAILABLE, REASON_NO_LOCAL_MAPPING,
                           "%s has no account on this machine: `local_names` in the acceptor's "
                           "configuration says who has one",
                           name->text);
}

/* `more` is -1 at first, then which value comes next, and 0 behind the last. */
EXPORT OM_uint32 gss_get_name_attribute(OM_uint32 *minor, gss_name_t handle, gss_buffer_t wanted,
                                        int *authenticated, int *complete, gss_buffer_t value,
                                        gss_buffer_t display_value, int *more) {
    const struct name *name = name_of(handle);
    const struct name_attribute *attribute = find_attribute(name, wanted);
    size_t index = *more < 0 ? 1 : (size_t)*more;
    OM_uint32 major = GSS_S_COMPLETE, ignored;

    *minor = 0;
    /*
     * Where mechglue looks for an account when gss_localname has given none. The provider's word does not
     * make one, whatever it calls an attribute.
     */
    if (same_text(wanted, GSS_C_ATTR_LOCAL_LOGIN_USER))
        return no_account(minor, name);
    if (!attribute || index >= attribute->count)
        return gss_status_fail(minor, GSS_S_UNAVAILABLE, REASON_UNKNOWN_ATTRIBUTE,
                               "the name has no such attribute");
    if (authenticated)
        *authenticated = attribute->authenticated;
    if (complete)
        *complete = 1;
    if (value)
        major = put_buffer(minor, attribute->texts[index], value);
    if (major == GSS_S_COMPLETE && display_value) {
        major = put_buffer(minor, attribute->texts[index], display_value);
        if (major != GSS_S_COMPLETE && value)
            gss_release_buffer(&ignored, value);
    }
    *more = index + 1 < attribute->count ? (int)index + 1 : 0;
    return major;
}

/* Accounts of this machine */

EXPORT OM_uint32 gss_localname(OM_uint32 *minor, const gss_name_t name, gss_const_OID mechanism,
                               gss_buffer_t local) {
    const char *account = name_of(name)->local;

    (void)mechanism;
    *minor = 0;
    if (account)
        return put_buffer(minor, account, local);
    return no_account(minor, name_of(name));
}

EXPORT OM_uint32 gssspi_authorize_localname(OM_uint32 *minor, const gss_name_t name,
                                            gss_const_buffer_t user, gss_const_OID type) {
    const char *account = name_of(name)->local;

    *minor = 0;
    if (type && !same_oid(type, GSS_C_NT_USER_NAME))
        return gss_status_fail(minor, GSS_S_BAD_NAMETYPE, REASON_BAD_NAME_TOKEN,
                               "an account of this machine has a user name");
    if (account && strlen(account) == user->length &&
        memcmp(account, user->value, user->length) == 0)
        return GSS_S_COMPLETE;
    return gss_status_fail(minor, GSS_S_UNAUTHORIZED, REASON_NO_LOCAL_MAPPING,
                           "%s may not use this account of the machine", name_of(name)->text);
}
