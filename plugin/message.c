/*
 * The state of message protection: keys and sequence numbers, on their way to other processes too, and
 * what is derived from the key beside tokens. The tokens are in message_token.c and message_iov.c.
 *
 * libk5crypto is in the process already, behind the mechglue, and of its functions none that is called
 * here looks at a krb5_context: there is none, and no krb5.conf is read.
 */

#include "message_state.h"

#include <stdlib.h>
#include <string.h>

static const struct enctype enctypes[] = {
    {17, CKSUMTYPE_HMAC_SHA1_96_AES128, 16, 12, 16},
    {18, CKSUMTYPE_HMAC_SHA1_96_AES256, 32, 12, 16},
    {19, CKSUMTYPE_HMAC_SHA256_128_AES128, 16, 16, 32},
    {20, CKSUMTYPE_HMAC_SHA384_192_AES256, 32, 24, 48},
};

static const struct enctype *find_enctype(long number) {
    for (size_t i = 0; i < sizeof enctypes / sizeof *enctypes; i++)
        if (enctypes[i].number == number)
            return &enctypes[i];
    return NULL;
}

/* Reasons */

static const struct reason {
    OM_uint32 number, major;
    const char *words;
} reasons[] = {
    {REASON_NO_MEMORY, GSS_S_FAILURE, "out of memory"},
    {REASON_INVALID_PARAMETER, GSS_S_FAILURE, "the buffers or sizes given are not such as this call takes"},
    {REASON_UNAVAILABLE, GSS_S_UNAVAILABLE,
     "this context has used up its sequence numbers: authenticate again"},
    {REASON_INVALID_SIGNATURE, GSS_S_BAD_SIG,
     "the message's checksum does not verify: it was altered on the way, or the two sides do not "
     "have the same key"},
    {REASON_CRYPTO_ERROR, GSS_S_FAILURE, "the cryptographic library failed"},
    {REASON_BUFFER_TOO_SMALL, GSS_S_FAILURE,
     "a buffer is smaller than gss_wrap_iov_length said it has to be"},
    {REASON_BUFFER_TOO_LONG, GSS_S_DEFECTIVE_TOKEN, "the token is longer than any that can be read"},
    {REASON_NO_SESSION_KEY, GSS_S_FAILURE,
     "the mechanism agrees on no key, it authenticates and no more: use one with key exchange, such "
     "as BROWSERID-AES128"},
    {REASON_WRONG_SIZE, GSS_S_FAILURE, "the token's parts are not of the sizes that its header announces"},
    {REASON_BAD_TOKEN_HEADER, GSS_S_DEFECTIVE_TOKEN,
     "the token's header has fields it should not have, or the two sides do not agree on whether "
     "there was an extra round trip"},
    {REASON_TOKEN_TRUNCATED, GSS_S_DEFECTIVE_TOKEN, "the token is not all there"},
    {REASON_BAD_DIRECTION, GSS_S_DEFECTIVE_TOKEN,
     "the token was sent by this side: it was reflected, or both programs were started in the same "
     "role"},
    {REASON_WRONG_TOKEN_ID, GSS_S_DEFECTIVE_TOKEN, "the token is of another kind than this call reads"},
    {REASON_KEY_TOO_SHORT, GSS_S_FAILURE, "the context's key is too short for its encryption type"},
    {REASON_BAD_CONTEXT_TOKEN, GSS_S_DEFECTIVE_TOKEN,
     "the exported context cannot be used: it is something else, or was altered"},
};

static const struct reason *find_reason(OM_uint32 number) {
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].number == number)
            return &reasons[i];
    return NULL;
}

OM_uint32 message_outcome(OM_uint32 *minor, OM_uint32 reason, OM_uint32 status) {
    *minor = reason;
    return reason ? find_reason(reason)->major : status;
}

const char *message_words(OM_uint32 minor) {
    const struct reason *reason = find_reason(minor);

    return reason ? reason->words : NULL;
}

/* Making and freeing */

static bool begin_direction(struct direction *direction, const struct message *message) {
    krb5_keyblock block = {.enctype = message->enctype->number,
                           .length = message->enctype->key_size,
                           .contents = (krb5_octet *)message->key};

    pthread_mutex_init(&direction->lock, NULL);
    return krb5_k_create_key(NULL, &block, &direction->key) == 0;
}

static void end_direction(struct direction *direction) {
    krb5_k_free_key(NULL, direction->key);
    pthread_mutex_destroy(&direction->lock);
}

void message_free(struct message *message) {
    if (!message)
        return;
    end_direction(&message->sending);
    end_direction(&message->receiving);
    explicit_bzero(message, sizeof *message);
    free(message);
}

static OM_uint32 create(const struct message_start *start, const void *root, size_t size,
                        struct message **created) {
    const struct enctype *enctype = find_enctype(start->enctype);
    struct message *message;
    bool begun;

    if (!enctype)
        return REASON_NO_SESSION_KEY;
    if (size < enctype->key_size)
        return REASON_KEY_TOO_SHORT;
    message = calloc(1, sizeof *message);
    if (!message)
        return REASON_NO_MEMORY;
    message->enctype = enctype;
    message->initiator = start->initiator;
    message->acceptor_subkey = start->acceptor_subkey;
    message->dce = start->dce;
    message->send = start->send;
    message->expected = start->receive;
    message->received = UINT64_MAX; /* what comes before the first counts as received */
    memcpy(message->key, root, enctype->key_size);
    begun = begin_direction(&message->sending, message);
    begun = begin_direction(&message->receiving, message) && begun;
    if (!begun) {
        message_free(message);
        return REASON_NO_MEMORY;
    }
    *created = message;
    return 0;
}

OM_uint32 message_create(OM_uint32 *minor, const struct message_start *start, const void *root,
                         size_t size, struct message **message) {
    *message = NULL;
    return message_outcome(minor, create(start, root, size, message), GSS_S_COMPLETE);
}

/* Sequence numbers */

OM_uint32 message_sequence(struct message *message, uint64_t number) {
    uint64_t behind; /* 0 for the one before the one expected */

    if (!message->receive_ended && number >= message->expected) {
        uint64_t ahead = number - message->expected;

        message->received = (ahead < 63 ? message->received << (ahead + 1) : 0) | 1;
        message->expected = number + 1;
        message->receive_ended = number == UINT64_MAX;
        return ahead ? GSS_S_GAP_TOKEN : GSS_S_COMPLETE;
    }
    behind = message->expected - 1 - number; /* 0 - 1 is the last number, when it was received */
    if (behind >= 64)
        return GSS_S_OLD_TOKEN;
    if (message->received >> behind & 1)
        return GSS_S_DUPLICATE_TOKEN;
    message->received |= (uint64_t)1 << behind;
    return GSS_S_UNSEQ_TOKEN;
}

/*
 * To another process:
 *
 *   "BIDM"  version (1)  encryption type (1)  flags (1)  send (8)  expected (8)  received (8)
 *   key (16 or 32)  checksum of all that
 *
 * Whoever has it has the key, so the checksum, by a key derived from that, is against accidents.
 */

static const unsigned char magic[] = {'B', 'I', 'D', 'M', 1};

enum {
    KNOWN_FLAGS = 31,
    AT_ENCTYPE = sizeof magic,
    AT_FLAGS,
    AT_SEND,
    AT_EXPECTED = AT_SEND + 8,
    AT_RECEIVED = AT_EXPECTED + 8,
    AT_KEY = AT_RECEIVED + 8,
    EXPORT_USAGE = 1024, /* RFC 3961 leaves numbers from here on to applications */
};

static void put_number(unsigned char *to, uint64_t number) {
    for (int i = 7; i >= 0; i--, number >>= 8)
        to[i] = (unsigned char)number;
}

static uint64_t get_number(const unsigned char *from) {
    uint64_t number = 0;

    for (int i = 0; i < 8; i++)
        number = number << 8 | from[i];
    return number;
}

/* The checksum at the end of an exported state: made, or compared. */
static OM_uint32 checksum_export(struct message *message, unsigned char *octets, krb5_boolean *same) {
    size_t size = AT_KEY + message->enctype->key_size;
    krb5_cksumtype type = message->enctype->checksum;
    krb5_crypto_iov pieces[2];

    piece_set(&pieces[0], KRB5_CRYPTO_TYPE_SIGN_ONLY, octets, size);
    piece_set(&pieces[1], KRB5_CRYPTO_TYPE_CHECKSUM, octets + size, message->enctype->mac_size);
    if (same ? krb5_k_verify_checksum_iov(NULL, type, message->sending.key, EXPORT_USAGE, pieces, 2, same)
             : krb5_k_make_checksum_iov(NULL, type, message->sending.key, EXPORT_USAGE, pieces, 2))
        return REASON_NO_MEMORY;
    return 0;
}

static OM_uint32 write_down(struct message *message, unsigned char *octets) {
    memcpy(octets, magic, sizeof magic);
    octets[AT_ENCTYPE] = (unsigned char)message->enctype->number;
    octets[AT_FLAGS] = (unsigned char)(message->initiator | message->acceptor_subkey << 1 |
                                       message->dce << 2 | message->send_ended << 3 |
                                       message->receive_ended << 4);
    put_number(octets + AT_SEND, message->send);
    put_number(octets + AT_EXPECTED, message->expected);
    put_number(octets + AT_RECEIVED, message->received);
    memcpy(octets + AT_KEY, message->key, message->enctype->key_size);
    return checksum_export(message, octets, NULL);
}

OM_uint32 message_export(OM_uint32 *minor, struct message *message, gss_buffer_t octets) {
    size_t size = AT_KEY + message->enctype->key_size + message->enctype->mac_size;
    unsigned char *value = malloc(size);
    OM_uint32 reason = REASON_NO_MEMORY;

    octets->value = NULL;
    octets->length = 0;
    if (value) {
        pthread_mutex_lock(&message->sending.lock);
        pthread_mutex_lock(&message->receiving.lock);
        reason = write_down(message, value);
        pthread_mutex_unlock(&message->receiving.lock);
        pthread_mutex_unlock(&message->sending.lock);
        if (reason) {
            explicit_bzero(value, size);
            free(value);
        } else {
            octets->value = value;
            octets->length = size;
        }
    }
    return message_outcome(minor, reason, GSS_S_COMPLETE);
}

/* What the fields of a state have to be, beyond a checksum that anybody can make who has the key. */
static bool is_sound(const struct message *message) {
    return (!message->send_ended || message->send == 0) &&
           (!message->receive_ended || message->expected == 0);
}

static OM_uint32 read_back(struct message *message, unsigned char *octets) {
    krb5_boolean same;
    OM_uint32 reason = checksum_export(message, octets, &same);

    if (reason)
        return reason;
    message->send_ended = octets[AT_FLAGS] >> 3 & 1;
    message->receive_ended = octets[AT_FLAGS] >> 4 & 1;
    message->received = get_number(octets + AT_RECEIVED);
    return same && is_sound(message) ? 0 : REASON_BAD_CONTEXT_TOKEN;
}

static OM_uint32 import(const unsigned char *octets, size_t size, struct message **message) {
    const struct enctype *enctype;
    struct message_start start;
    unsigned char copy[AT_KEY + LONGEST_KEY + LONGEST_MAC];
    OM_uint32 reason;

    if (size < AT_KEY || memcmp(octets, magic, sizeof magic) != 0 || octets[AT_FLAGS] > KNOWN_FLAGS)
        return REASON_BAD_CONTEXT_TOKEN;
    enctype = find_enctype(octets[AT_ENCTYPE]);
    if (!enctype || size != AT_KEY + enctype->key_size + enctype->mac_size)
        return REASON_BAD_CONTEXT_TOKEN;
    start = (struct message_start){.enctype = enctype->number,
                                   .initiator = octets[AT_FLAGS] & 1,
                                   .acceptor_subkey = octets[AT_FLAGS] >> 1 & 1,
                                   .dce = octets[AT_FLAGS] >> 2 & 1,
                                   .send = get_number(octets + AT_SEND),
                                   .receive = get_number(octets + AT_EXPECTED)};
    reason = create(&start, octets + AT_KEY, enctype->key_size, message);
    if (reason)
        return reason;
    memcpy(copy, octets, size);
    reason = read_back(*message, copy);
    explicit_bzero(copy, sizeof copy);
    if (reason) {
        message_free(*message);
        *message = NULL;
    }
    return reason;
}

OM_uint32 message_import(OM_uint32 *minor, const void *octets, size_t size, struct message **message) {
    *message = NULL;
    return message_outcome(minor, import(octets, size, message), GSS_S_COMPLETE);
}

/* The pseudo-random function */

enum { MOST_RANDOM = 1 << 20, COUNTER_SIZE = 4 };

static OM_uint32 fill_random(struct message *message, krb5_data *input, unsigned char *output,
                             size_t size) {
    unsigned char block[64];
    krb5_data made = {.data = (char *)block, .length = message->enctype->prf_size};
    OM_uint32 reason = 0;

    for (uint32_t counter = 0; size > 0 && !reason; counter++) {
        size_t taken = size < made.length ? size : made.length;

        for (int i = 0; i < COUNTER_SIZE; i++)
            input->data[i] = (char)(counter >> (24 - 8 * i));
        reason = krb5_k_prf(NULL, message->sending.key, input, &made) ? REASON_NO_MEMORY : 0;
        if (!reason)
            memcpy(output, block, taken);
        output += taken;
        size -= taken;
    }
    explicit_bzero(block, sizeof block);
    return reason;
}

static OM_uint32 pseudo_random(struct message *message, const gss_buffer_desc *input, size_t size,
                               gss_buffer_t output) {
    krb5_data counted = {.length = (unsigned)(COUNTER_SIZE + input->length)};
    unsigned char *value = malloc(size);
    OM_uint32 reason = REASON_NO_MEMORY;

    counted.data = malloc(counted.length);
    if (value && counted.data) {
        if (input->length > 0)
            memcpy(counted.data + COUNTER_SIZE, input->value, input->length);
        pthread_mutex_lock(&message->sending.lock);
        reason = fill_random(message, &counted, value, size);
        pthread_mutex_unlock(&message->sending.lock);
    }
    free(counted.data);
    if (reason) {
        free(value);
        return reason;
    }
    output->value = value;
    output->length = size;
    return 0;
}

OM_uint32 message_pseudo_random(OM_uint32 *minor, struct message *message, int prf_key,
                                const gss_buffer_desc *input, ssize_t size, gss_buffer_t output) {
    OM_uint32 reason = 0;

    output->value = NULL;
    output->length = 0;
    if ((prf_key != GSS_C_PRF_KEY_FULL && prf_key != GSS_C_PRF_KEY_PARTIAL) || size < 0 ||
        size > MOST_RANDOM || input->length > LONGEST_MESSAGE)
        reason = REASON_INVALID_PARAMETER;
    else if (size > 0)
        reason = pseudo_random(message, input, (size_t)size, output);
    return message_outcome(minor, reason, GSS_S_COMPLETE);
}

/* The key for those who ask for it by an object identifier */

static bool is_same(gss_const_OID one, gss_const_OID other) {
    return one->length == other->length && memcmp(one->elements, other->elements, one->length) == 0;
}

static bool copy_value(gss_buffer_t value, const void *octets, size_t size) {
    value->value = malloc(size);
    if (!value->value)
        return false;
    memcpy(value->value, octets, size);
    value->length = size;
    return true;
}

/* A set of the key and something else. The mechglue's own way to add to a set loses a key for lack of
 * memory. */
static OM_uint32 give_two(struct message *message, const void *second, size_t size,
                          gss_buffer_set_t *values) {
    gss_buffer_set_t set = calloc(1, sizeof *set);
    OM_uint32 ignored;

    if (!set)
        return REASON_NO_MEMORY;
    set->elements = calloc(2, sizeof *set->elements);
    if (set->elements) {
        set->count = 2;
        if (copy_value(&set->elements[1], second, size) &&
            copy_value(&set->elements[0], message->key, message->enctype->key_size)) {
            *values = set;
            return 0;
        }
    }
    gss_release_buffer_set(&ignored, &set);
    return REASON_NO_MEMORY;
}

OM_uint32 message_inquire_by_oid(OM_uint32 *minor, struct message *message, gss_const_OID what,
                                 gss_buffer_set_t *values) {
    /* 1.2.840.113554.1.2.2.4 and the encryption type, as MIT Kerberos and Windows name it */
    unsigned char identifier[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02, 0x04, 0};
    unsigned char number[4] = {0};

    *values = GSS_C_NO_BUFFER_SET;
    identifier[sizeof identifier - 1] = (unsigned char)message->enctype->number;
    number[0] = (unsigned char)message->enctype->number;
    if (is_same(what, GSS_C_INQ_SSPI_SESSION_KEY))
        return message_outcome(minor, give_two(message, identifier, sizeof identifier, values),
                               GSS_S_COMPLETE);
    if (is_same(what, GSS_C_INQ_NEGOEX_KEY) || is_same(what, GSS_C_INQ_NEGOEX_VERIFY_KEY))
        return message_outcome(minor, give_two(message, number, sizeof number, values),
                               GSS_S_COMPLETE);
    *minor = REASON_UNAVAILABLE;
    return GSS_S_UNAVAILABLE;
}
