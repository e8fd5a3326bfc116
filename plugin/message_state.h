/* What the parts of message protection share: the state, and the making and checking of one token. */

#ifndef BROWSERID_MESSAGE_STATE_H
#define BROWSERID_MESSAGE_STATE_H

#include "message.h"
#include "reason.h"

#include <krb5/krb5.h>
#include <limits.h>
#include <pthread.h>

enum {
    HEADER_SIZE = 16, /* of every token (RFC 4121 section 4.2.6) */
    BLOCK_SIZE = 16,  /* of AES, and of the confounder before a sealed message */
    LONGEST_KEY = 32,
    LONGEST_MAC = 24,
    LONGEST_MESSAGE = INT_MAX - (1 << 17), /* what libk5crypto counts in an unsigned int */
};

/* A row of the table of encryption types (RFC 3962, RFC 8009). */
struct enctype {
    krb5_enctype number;
    krb5_cksumtype checksum;
    unsigned key_size, mac_size, prf_size; /* octets */
};

/* One direction. libk5crypto keeps in the key what it derives from it, so it is one thread's at a time. */
struct direction {
    pthread_mutex_t lock;
    krb5_key key;
};

struct message {
    const struct enctype *enctype;
    bool initiator, acceptor_subkey, dce;
    unsigned char key[LONGEST_KEY];
    struct direction sending, receiving;
    uint64_t send;      /* number of the next token; all are used up if `send_ended` */
    bool send_ended;
    uint64_t expected;  /* number after the highest received; there is none if `receive_ended` */
    bool receive_ended;
    uint64_t received;  /* which of the 64 numbers before it must not come again: bit 0 is the last */
};

enum token_kind { SEALED_TOKEN, CLEAR_TOKEN, MIC_TOKEN };

/*
 * Where the parts of one token are. The message's pieces begin at pieces[1]: the place before them and
 * the two behind are for the confounder, and for what of `tail` is protected and what protects it.
 */
struct token {
    unsigned char *header;     /* HEADER_SIZE octets */
    unsigned char *confounder; /* BLOCK_SIZE octets, of a sealed one */
    unsigned char *tail;       /* a sealed one: filler, copy of the header, checksum; others: checksum */
    unsigned filler;           /* octets */
    krb5_crypto_iov *pieces;
    size_t count;              /* of the message's pieces */
};

/* A header's fields that are not known beforehand. Believed when the checksum has confirmed them. */
struct token_header {
    enum token_kind kind;
    unsigned extra_count, rotation;
    uint64_t sequence;
};

/* All of these give a reason, 0 if it went well. */
OM_uint32 token_make(struct message *message, enum token_kind kind, struct token *token,
                     size_t rotation);
OM_uint32 token_parse(const struct message *message, bool mic, const void *octets, size_t size,
                      struct token_header *header);
OM_uint32 token_check(struct message *message, const struct token_header *header,
                      struct token *token, OM_uint32 *status);

/* How the body of a received wrap token is divided: confounder, message, tail. */
struct token_division { size_t confounder, message, tail; };
OM_uint32 token_divide(const struct message *message, const struct token_header *header, size_t body,
                       struct token_division *division);

/* `size` octets of `from` as they were before they were rotated to the right. */
void token_unrotate(unsigned char *to, const unsigned char *from, size_t size, size_t rotation);

size_t token_tail_size(const struct message *message, bool sealed, unsigned filler);
unsigned token_filler(const struct message *message, bool sealed);

/* A received wrap token in memory of its own; its message is at the beginning of that. */
OM_uint32 token_open(struct message *message, const struct token_header *header,
                     const unsigned char *body, size_t size, struct token *token,
                     krb5_crypto_iov *place, gss_buffer_t output, OM_uint32 *status);

void piece_set(krb5_crypto_iov *piece, krb5_cryptotype type, const void *octets, size_t size);

/* Where the sequence number of a genuine token puts it: a supplementary status. */
OM_uint32 message_sequence(struct message *message, uint64_t number);

/* A major and a minor status for a reason; `status` if there is none. */
OM_uint32 message_outcome(OM_uint32 *minor, OM_uint32 reason, OM_uint32 status);

#endif
