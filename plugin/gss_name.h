/* Names of people and services, and what is known of them (RFC 2743, RFC 6680). */

#ifndef BROWSERID_GSS_NAME_H
#define BROWSERID_GSS_NAME_H

#include <gssapi/gssapi_ext.h>
#include <stdbool.h>

enum { NAME_LONGEST = 512 /* characters of a name's text */ };

/* An attribute. Its values follow its name in `texts`. */
struct name_attribute {
    bool authenticated;
    size_t count; /* of texts */
    char **texts;
};

struct name {
    int mechanism; /* row of the table */
    bool is_service;
    char *text;          /* to display, compare and export; canonical */
    char *service, *host; /* of a service; the host may be empty */
    char *local;         /* the account of this machine that the person may use, or NULL */
    size_t count;
    struct name_attribute *attributes;
};

/* The form of names that gss_display_name writes. */
extern const gss_OID_desc name_own_form;

/* Read a name as somebody has written it. */
OM_uint32 name_import(OM_uint32 *minor, int mechanism, const gss_buffer_desc *octets,
                      gss_const_OID type, struct name **name);

/* Read what name_import made canonical: `text` of a name, as it stands in an exported context too. */
OM_uint32 name_from_text(OM_uint32 *minor, int mechanism, const char *text, struct name **name);

OM_uint32 name_duplicate(OM_uint32 *minor, const struct name *name, struct name **copy);
void name_release(struct name *name);

/* Add an attribute, or a value to the last one. False for lack of memory. */
bool name_add_attribute(struct name *name, const char *text, bool authenticated);
bool name_add_value(struct name *name, const char *text);

#endif
