/* Credentials: whose identity to log in with, and which service to accept for. */

#ifndef BROWSERID_GSS_CREDENTIAL_H
#define BROWSERID_GSS_CREDENTIAL_H

#include "gss_name.h"

struct credential {
    int mechanism;
    gss_cred_usage_t usage;
    struct name *name; /* NULL: the default identity, or any service */
    char *acceptor;    /* the socket */
};

/* What a handle stands for. */
const struct credential *credential_of(gss_cred_id_t handle);

/* The acceptor's socket where no credential says another. */
const char *credential_default_acceptor(void);

#endif
