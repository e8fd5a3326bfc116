/*
 * Lines to and from a resident service over a Unix socket (docs/wire.md).
 *
 * A line is a verb and fields, separated by tabs and ended by a line feed; what a field holds is
 * escaped. That is all that is known here: what the lines mean is the callers' business.
 */

#ifndef BROWSERID_WIRE_H
#define BROWSERID_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
    WIRE_LONGEST_LINE = 65536, /* octets, the line feed included */
    WIRE_MOST_FIELDS = 128,    /* of one line, the verb included */
};

/*
 * For connecting and for the greeting, together. One that is started again, as with an upgrade, has this
 * long until it listens: its queue keeps those who connect meanwhile.
 */
#ifndef WIRE_HANDSHAKE_MS
#define WIRE_HANDSHAKE_MS 10000
#endif

#ifndef WIRE_ANSWER_MS
#define WIRE_ANSWER_MS 30000 /* for the answer to one request */
#endif

/* How it went. */
enum wire_status {
    WIRE_OK,
    WIRE_ABSENT,  /* nobody listens there */
    WIRE_BARRED,  /* the socket's owner or mode keeps us out */
    WIRE_LATE,    /* no answer in time */
    WIRE_CLOSED,  /* the service went away */
    WIRE_UNREAD,  /* it went away, and had not read the end of what was sent: nothing came of it */
    WIRE_STRANGE, /* whoever listens there speaks something else */
    WIRE_TOO_LONG, /* what was to be sent, or came, is too long for a line */
    WIRE_FOREIGN, /* whoever listens there is of another account */
    WIRE_NO_MEMORY, /* there is none for a connection */
    WIRE_WAIT      /* nothing has come yet: for those who wait in a loop of their own */
};

/* A service, as its clients know it. */
struct wire_service {
    const char *greeting; /* how its first line begins: the verb and the version's first fields */
    const char *ours;     /* what we begin with: lines, complete */
    bool says_process;    /* whether a line with our process identifier follows */
    bool is_own;          /* whether it has to be of this program's account, or root's */
};

/*
 * The host's acceptor: of its protocol's first version whatever revision (docs/wire.md). In 1.3 it asks
 * for the channel's binding data when it needs some.
 */
extern const struct wire_service wire_acceptor, wire_acceptor_1_3;

/* One connection. A caller has it to itself between wire_take and wire_give_back. */
struct wire {
    const struct wire_service *service;
    int descriptor;
    pid_t owner;                  /* the process that connected */
    dev_t device;                 /* of the socket, to know it again: a program may close */
    ino_t inode;                  /* descriptors that are not its own */
    unsigned last_id;             /* of the requests made on it */
    unsigned answered_id;         /* of the one that was answered last, and may go on */
    char path[108];               /* where it leads */
    bool recognised, greeted;     /* the first line of the greeting has been read, the last */
    size_t begins, ends;          /* of what was read and not yet taken, in `in` */
    size_t length;                /* of what is to be sent, in `out` */
    bool overflowed;              /* it did not fit */
    char in[WIRE_LONGEST_LINE], out[WIRE_LONGEST_LINE];
};

/* A line that came. Its texts live in the wire until the next request. */
struct wire_line {
    int count;
    char *fields[WIRE_MOST_FIELDS]; /* unescaped; the verb is the first */
};

/*
 * A connection to the service at `path`: one that lies idle, or a new one. The greeting has been
 * read. NULL if there is none to be had, and why in `status`.
 */
struct wire *wire_take(const char *path, const struct wire_service *service,
                       enum wire_status *status);

/* Let the next one have it. All that was asked on it has to be answered. */
void wire_give_back(struct wire *wire);

/* Close it. With this the service forgets what was asked on it. NULL does no harm. */
void wire_close(struct wire *wire);

/* Whether this process made the connection: a child has its parent's before its eyes, not in hand. */
bool wire_is_ours(const struct wire *wire);

/* Begin a line. */
void wire_begin(struct wire *wire, const char *verb, unsigned id);

/* Add a field: a text as it is, `name=value`, or `prefix` `name` `=value` in base64. */
void wire_word(struct wire *wire, const char *text);
void wire_text(struct wire *wire, const char *prefix, const char *name, const char *value);
void wire_octets(struct wire *wire, const char *prefix, const char *name, const void *octets,
                 size_t length);

/* End the line and send it, in so many milliseconds. */
enum wire_status wire_send(struct wire *wire, int limit);

/*
 * End the line, send it, and wait for the line that answers it: its verb and the request's identifier
 * are the first two fields. If the service has gone away without reading it, the first line of a request
 * goes to the one that listens there next.
 */
enum wire_status wire_ask(struct wire *wire, unsigned id, struct wire_line *answer);

/*
 * For a program with an event loop. wire_begin_taking is wire_take without waiting: the greeting may
 * be still to come. wire_look reads what has come, and is due whenever the descriptor can be read: the
 * greeting has come with WIRE_OK if `line` is NULL, the answer to a request else. What WIRE_UNREAD says
 * is left to the caller.
 */
struct wire *wire_begin_taking(const char *path, const struct wire_service *service,
                               enum wire_status *status);
enum wire_status wire_look(struct wire *wire, unsigned id, struct wire_line *line);

/* The value of a field `name` or `name=value`, from the third on; NULL if there is none. */
const char *wire_value(const struct wire_line *line, const char *name);

/* Decode base64 in place; false if it is none. The empty text and a lone `=` are no octets. */
bool wire_decode(char *text, size_t *length);

/* Take a line apart and unescape its fields, in place; false if it has too many, a zero octet or half an escape. */
bool wire_split(char *text, size_t length, struct wire_line *line);

/* What happened, for a person. */
const char *wire_words(enum wire_status status);

#endif
