/*
 * Lines to and from a resident service over a Unix socket.
 *
 * The program around this may be threaded, may fork at any time, may close descriptors that it
 * does not know and may handle signals as it likes. So
 *
 *  - every descriptor is closed on exec, is none of the standard three, and is looked at again
 *    before it is used again: it may be somebody else's by then;
 *  - idle connections are kept in slots that are exchanged atomically: there is no lock that a fork
 *    could leave behind locked;
 *  - a child never speaks on its parent's connection;
 *  - nothing waits without limit, and a signal does not end a wait;
 *  - what is allocated has one size, whatever the other side sends;
 *  - a request is made again only where it is certain that nobody has read it: an assertion that is
 *    presented twice is refused as a replay.
 */

#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MOST_IDLE = 8, MOST_TRIES = 8, LOWEST_DESCRIPTOR = 3, NANOSECONDS_IN_MS = 1000000 };

const struct wire_service wire_acceptor = {
    .greeting = "VERSION\t1\t",
    .ours = "VERSION\t1\t2\n",
    .says_process = true,
};
const struct wire_service wire_acceptor_1_3 = {
    .greeting = "VERSION\t1\t",
    .ours = "VERSION\t1\t3\n",
    .says_process = true,
};

static _Atomic(struct wire *) idle[MOST_IDLE];

/* Time */

static int64_t now_ms(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / NANOSECONDS_IN_MS;
}

/* Whether it can be read or written before a deadline. Whoever never stops talking is late too. */
static bool wait_for(int descriptor, short events, int64_t deadline) {
    struct pollfd one = {.fd = descriptor, .events = events};

    for (;;) {
        int64_t left = deadline - now_ms();
        int ready = left > 0 ? poll(&one, 1, (int)left) : 0;

        if (ready > 0)
            return true;
        if (left <= 0 || (ready < 0 && errno != EINTR))
            return false;
    }
}

/* Lines that are sent */

static void put(struct wire *wire, const char *octets, size_t length) {
    if (wire->overflowed || length > sizeof wire->out - wire->length) {
        wire->overflowed = true;
        return;
    }
    memcpy(wire->out + wire->length, octets, length);
    wire->length += length;
}

static void put_escaped(struct wire *wire, const char *text) {
    static const char special[] = "\001\t\r\n";
    static const char letters[] = "1trn";

    while (*text) {
        size_t plain = strcspn(text, special);

        put(wire, text, plain);
        text += plain;
        if (*text) {
            char escape[2] = {'\001', letters[strchr(special, *text) - special]};

            put(wire, escape, sizeof escape);
            text++;
        }
    }
}

void wire_begin(struct wire *wire, const char *verb, unsigned id) {
    char number[16];

    wire->length = 0;
    wire->overflowed = false;
    put(wire, verb, strlen(verb));
    put(wire, number, (size_t)snprintf(number, sizeof number, "\t%u", id));
}

void wire_word(struct wire *wire, const char *text) {
    put(wire, "\t", 1);
    put_escaped(wire, text);
}

static void put_name(struct wire *wire, const char *prefix, const char *name) {
    put(wire, "\t", 1);
    put_escaped(wire, prefix);
    put_escaped(wire, name);
    put(wire, "=", 1);
}

void wire_text(struct wire *wire, const char *prefix, const char *name, const char *value) {
    put_name(wire, prefix, name);
    put_escaped(wire, value);
}

static void put_base64(struct wire *wire, const unsigned char *octets, size_t length) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < length; i += 3) {
        size_t group = length - i < 3 ? length - i : 3;
        uint32_t bits = (uint32_t)octets[i] << 16;
        char four[4];

        if (group > 1)
            bits |= (uint32_t)octets[i + 1] << 8;
        if (group > 2)
            bits |= octets[i + 2];
        for (size_t j = 0; j < sizeof four; j++)
            four[j] = j <= group ? digits[bits >> (18 - 6 * j) & 63] : '=';
        put(wire, four, sizeof four);
    }
}

void wire_octets(struct wire *wire, const char *prefix, const char *name, const void *octets,
                 size_t length) {
    if (*prefix || *name)
        put_name(wire, prefix, name);
    else
        put(wire, "\t", 1);
    put_base64(wire, octets, length);
}

/*
 * How a connection has ended. The system resets it where the other side has closed it with something
 * unread: that is the end of the last line at least, and half a line is nothing to a service. A
 * service that has read all leaves a plain end behind, whether it has done something or not.
 */
static enum wire_status ended_by(int error) {
    return error == EPIPE || error == ECONNRESET ? WIRE_UNREAD : WIRE_CLOSED;
}

static enum wire_status send_all(struct wire *wire, const char *octets, size_t length,
                                 int64_t deadline) {
    while (length > 0) {
        ssize_t sent = send(wire->descriptor, octets, length, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent >= 0) {
            octets += sent;
            length -= (size_t)sent;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!wait_for(wire->descriptor, POLLOUT, deadline))
                return WIRE_LATE;
        } else if (errno != EINTR) {
            return ended_by(errno);
        }
    }
    return WIRE_OK;
}

static enum wire_status send_line(struct wire *wire, int64_t deadline) {
    if (wire->overflowed)
        return WIRE_TOO_LONG;
    return send_all(wire, wire->out, wire->length, deadline);
}

enum wire_status wire_send(struct wire *wire, int limit) {
    put(wire, "\n", 1);
    return send_line(wire, now_ms() + limit);
}

/* Lines that come */

static char unescaped(char letter) {
    switch (letter) {
    case '0': return '\0'; /* which no text of a C program can hold */
    case '1': return '\001';
    case 't': return '\t';
    case 'r': return '\r';
    case 'n': return '\n';
    default: return letter;
    }
}

bool wire_split(char *text, size_t length, struct wire_line *line) {
    char *to = text;

    line->count = 1;
    line->fields[0] = text;
    for (const char *from = text, *end = text + length; from < end; from++) {
        if (*from == '\t') {
            *to++ = '\0';
            if (line->count == WIRE_MOST_FIELDS)
                return false;
            line->fields[line->count++] = to;
        } else if (*from == '\001') {
            if (++from == end || *from == '\t' || !(*to++ = unescaped(*from)))
                return false;
        } else if (!(*to++ = *from)) {
            return false;
        }
    }
    *to = '\0'; /* over the line feed at the latest */
    return true;
}

/* A line that has come, without its line feed, which may be written over. */
static bool pop(struct wire *wire, char **text, size_t *length) {
    char *begin = wire->in + wire->begins;
    char *end = memchr(begin, '\n', wire->ends - wire->begins);

    if (!end)
        return false;
    *text = begin;
    *length = (size_t)(end - begin);
    wire->begins += *length + 1;
    return true;
}

/* Read once, behind what is there. */
static enum wire_status fill(struct wire *wire) {
    size_t there = wire->ends - wire->begins;
    ssize_t read;

    memmove(wire->in, wire->in + wire->begins, there);
    wire->begins = 0;
    wire->ends = there;
    read = recv(wire->descriptor, wire->in + there, sizeof wire->in - there, MSG_DONTWAIT);
    if (read > 0) {
        wire->ends += (size_t)read;
        return WIRE_OK;
    }
    if (read == 0)
        return WIRE_CLOSED;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? WIRE_WAIT : ended_by(errno);
}

static bool begins_with(const char *text, size_t length, const char *beginning) {
    return length >= strlen(beginning) && memcmp(text, beginning, strlen(beginning)) == 0;
}

static enum wire_status take_greeting(struct wire *wire, const char *text, size_t length) {
    if (!wire->recognised && !begins_with(text, length, wire->service->greeting))
        return WIRE_STRANGE;
    wire->recognised = true;
    wire->greeted = length == strlen("DONE") && begins_with(text, length, "DONE");
    return WIRE_OK;
}

static bool is_number(const char *text, unsigned number) {
    char ours[16];

    snprintf(ours, sizeof ours, "%u", number);
    return strcmp(text, ours) == 0;
}

/* Go through the lines that are there: past what answers a request that was given up. */
static enum wire_status go_through(struct wire *wire, unsigned id, struct wire_line *line) {
    enum wire_status status;
    size_t length;
    char *text;

    while ((line || !wire->greeted) && pop(wire, &text, &length)) {
        if (!wire->greeted) {
            status = take_greeting(wire, text, length);
            if (status != WIRE_OK)
                return status;
        } else if (!wire_split(text, length, line)) {
            return WIRE_STRANGE;
        } else if (line->count > 1 && is_number(line->fields[1], id)) {
            return WIRE_OK;
        }
    }
    if (wire->greeted && !line)
        return WIRE_OK;
    return wire->ends - wire->begins == sizeof wire->in ? WIRE_TOO_LONG : WIRE_WAIT;
}

enum wire_status wire_look(struct wire *wire, unsigned id, struct wire_line *line) {
    enum wire_status status = go_through(wire, id, line);

    if (status != WIRE_WAIT)
        return status;
    status = fill(wire);
    return status == WIRE_OK ? go_through(wire, id, line) : status;
}

static enum wire_status wait_and_look(struct wire *wire, unsigned id, struct wire_line *line,
                                      int64_t deadline) {
    enum wire_status status;

    while ((status = wire_look(wire, id, line)) == WIRE_WAIT)
        if (!wait_for(wire->descriptor, POLLIN, deadline))
            return WIRE_LATE;
    return status;
}

const char *wire_value(const struct wire_line *line, const char *name) {
    size_t length = strlen(name);

    for (int i = 2; i < line->count; i++)
        if (strncmp(line->fields[i], name, length) == 0) {
            if (line->fields[i][length] == '=')
                return line->fields[i] + length + 1;
            if (line->fields[i][length] == '\0')
                return line->fields[i] + length; /* the line's own octet: callers decode in place */
        }
    return NULL;
}

static int digit_of(char letter) {
    if (letter >= 'A' && letter <= 'Z')
        return letter - 'A';
    if (letter >= 'a' && letter <= 'z')
        return letter - 'a' + 26;
    if (letter >= '0' && letter <= '9')
        return letter - '0' + 52;
    return letter == '+' ? 62 : letter == '/' ? 63 : -1;
}

bool wire_decode(char *text, size_t *length) {
    size_t digits = strlen(text), written = 0;
    uint32_t bits = 0;

    *length = 0;
    if (strcmp(text, "=") == 0) {
        *text = '\0';
        return true;
    }
    if (digits % 4 != 0)
        return false;
    for (int padding = 0; padding < 2 && digits > 0 && text[digits - 1] == '='; padding++)
        digits--;
    for (size_t i = 0; i < digits; i++) {
        int digit = digit_of(text[i]);

        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 != 0)
            text[written++] = (char)(bits >> (6 - 2 * (i % 4)) & 0xFF);
    }
    text[written] = '\0';
    *length = written;
    return true;
}

/* Connections */

bool wire_is_ours(const struct wire *wire) { return wire->owner == getpid(); }

static void disconnect(struct wire *wire) {
    struct stat now;

    if (wire->descriptor >= 0 && fstat(wire->descriptor, &now) == 0 &&
        now.st_dev == wire->device && now.st_ino == wire->inode)
        close(wire->descriptor);
    wire->descriptor = -1;
}

void wire_close(struct wire *wire) {
    if (!wire)
        return;
    disconnect(wire);
    free(wire);
}

/* Whether an idle connection is still one, and quiet: a service that ends says so by closing it. */
static bool is_good(const struct wire *wire) {
    struct pollfd one = {.fd = wire->descriptor, .events = POLLIN};
    struct stat now;

    return wire_is_ours(wire) && fstat(wire->descriptor, &now) == 0 &&
           now.st_dev == wire->device && now.st_ino == wire->inode && poll(&one, 1, 0) == 0;
}

void wire_give_back(struct wire *wire) {
    for (size_t i = 0; wire->begins == wire->ends && i < MOST_IDLE; i++) {
        struct wire *none = NULL;

        if (atomic_compare_exchange_strong(&idle[i], &none, wire))
            return;
    }
    wire_close(wire);
}

/* libsasl2 unloads its plugins with sasl_done, and may load them again. */
__attribute__((destructor)) static void close_idle(void) {
    for (size_t i = 0; i < MOST_IDLE; i++)
        wire_close(atomic_exchange(&idle[i], NULL));
}

static struct wire *take_idle(const char *path) {
    for (size_t i = 0; i < MOST_IDLE; i++) {
        struct wire *wire = atomic_exchange(&idle[i], NULL);

        if (!wire)
            continue;
        if (!is_good(wire)) {
            wire_close(wire);
        } else if (strcmp(wire->path, path) != 0) {
            wire_give_back(wire);
        } else {
            return wire;
        }
    }
    return NULL;
}

/* A socket that is none of the program's standard descriptors, which it may have closed. */
static int make_socket(void) {
    int low = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), high;

    if (low < 0 || low >= LOWEST_DESCRIPTOR)
        return low;
    high = fcntl(low, F_DUPFD_CLOEXEC, LOWEST_DESCRIPTOR);
    close(low);
    return high;
}

/* For a service whose queue is full, connect waits as long as the limit says, or not at all. */
static void limit_connect(int descriptor, int limit) {
    struct timeval time = {.tv_sec = limit / 1000, .tv_usec = limit % 1000 * 1000};

    if (limit > 0)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
    else
        fcntl(descriptor, F_SETFL, O_NONBLOCK);
}

static enum wire_status connect_to(int descriptor, const char *path, int limit) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int64_t deadline = now_ms() + limit;

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    limit_connect(descriptor, limit);
    while (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
        if (errno == EISCONN)
            return WIRE_OK;
        if (errno != EINTR)
            return errno == EAGAIN ? WIRE_LATE : errno == EACCES ? WIRE_BARRED : WIRE_ABSENT;
        if (now_ms() >= deadline)
            return WIRE_LATE;
    }
    return WIRE_OK;
}

/* What we begin with; it fits into the socket. */
static enum wire_status introduce(struct wire *wire) {
    char ours[128];
    int length = snprintf(ours, sizeof ours, "%s", wire->service->ours);

    if (wire->service->says_process)
        length += snprintf(ours + length, sizeof ours - (size_t)length, "CPID\t%ld\n",
                           (long)wire->owner);
    return send_all(wire, ours, (size_t)length, now_ms());
}

/* Before it is told anything: a person's tokens and keys are made by nobody else's agent. */
static bool service_is_foreign(const struct wire *wire) {
    struct ucred other;
    socklen_t size = sizeof other;

    if (!wire->service->is_own)
        return false;
    return getsockopt(wire->descriptor, SOL_SOCKET, SO_PEERCRED, &other, &size) != 0 ||
           (other.uid != geteuid() && other.uid != 0);
}

/* Connect to where the wire leads. What is to be sent stays. */
static enum wire_status open_wire(struct wire *wire, int limit) {
    enum wire_status status;
    struct stat self;

    wire->recognised = wire->greeted = false;
    wire->begins = wire->ends = 0;
    wire->descriptor = make_socket();
    if (wire->descriptor < 0 || fstat(wire->descriptor, &self) != 0)
        return WIRE_CLOSED;
    wire->device = self.st_dev;
    wire->inode = self.st_ino;
    wire->owner = getpid();
    status = connect_to(wire->descriptor, wire->path, limit);
    if (status == WIRE_OK && service_is_foreign(wire))
        return WIRE_FOREIGN;
    return status == WIRE_OK ? introduce(wire) : status;
}

/* A connection that is idle, or a new one and how that went. NULL if there is no memory for one. */
static struct wire *idle_or_new(const char *path, const struct wire_service *service, int limit,
                                enum wire_status *status) {
    struct wire *wire = take_idle(path);

    *status = WIRE_OK;
    if (wire)
        return wire;
    wire = calloc(1, sizeof *wire);
    if (!wire) {
        *status = WIRE_NO_MEMORY;
        return NULL;
    }
    wire->descriptor = -1;
    wire->service = service;
    *status = WIRE_ABSENT;
    if (snprintf(wire->path, sizeof wire->path, "%s", path) < (int)sizeof wire->path)
        *status = open_wire(wire, limit);
    return wire;
}

static struct wire *good_or_none(struct wire *wire, enum wire_status status) {
    if (status == WIRE_OK)
        return wire;
    wire_close(wire);
    return NULL;
}

struct wire *wire_begin_taking(const char *path, const struct wire_service *service,
                               enum wire_status *status) {
    struct wire *wire = idle_or_new(path, service, 0, status);

    return good_or_none(wire, *status);
}

static enum wire_status open_again(struct wire *wire) {
    disconnect(wire);
    return open_wire(wire, WIRE_HANDSHAKE_MS);
}

/* Wait for the greeting: of the next one, if a service ends without a word. */
static enum wire_status wait_for_greeting(struct wire *wire, enum wire_status status) {
    int64_t deadline = now_ms() + WIRE_HANDSHAKE_MS;

    for (int tries = 1;; tries++) {
        if (status == WIRE_OK)
            status = wait_and_look(wire, 0, NULL, deadline);
        if ((status != WIRE_CLOSED && status != WIRE_UNREAD) || tries == MOST_TRIES)
            return status;
        status = open_again(wire);
    }
}

struct wire *wire_take(const char *path, const struct wire_service *service,
                       enum wire_status *status) {
    struct wire *wire = idle_or_new(path, service, WIRE_HANDSHAKE_MS, status);

    if (wire)
        *status = wait_for_greeting(wire, *status);
    return good_or_none(wire, *status);
}

enum wire_status wire_ask(struct wire *wire, unsigned id, struct wire_line *answer) {
    int64_t deadline = now_ms() + WIRE_ANSWER_MS;
    enum wire_status status = WIRE_OK;
    bool begins = id != wire->answered_id;

    wire->answered_id = id;
    put(wire, "\n", 1);
    for (int tries = 1;; tries++) {
        if (status == WIRE_OK)
            status = send_line(wire, deadline);
        if (status == WIRE_OK)
            status = wait_and_look(wire, id, answer, deadline);
        if (status != WIRE_UNREAD || !begins || tries == MOST_TRIES)
            return status;
        status = wait_for_greeting(wire, open_again(wire));
    }
}

const char *wire_words(enum wire_status status) {
    switch (status) {
    case WIRE_OK: return "it answered";
    case WIRE_ABSENT: return "nobody answers there";
    case WIRE_BARRED: return "its owner and mode keep this program out";
    case WIRE_LATE: return "it does not answer in time";
    case WIRE_CLOSED:
    case WIRE_UNREAD: return "the connection ended";
    case WIRE_STRANGE: return "what answers there is another kind of service";
    case WIRE_TOO_LONG: return "a message is too long";
    case WIRE_FOREIGN: return "it is of another account";
    case WIRE_NO_MEMORY: return "out of memory";
    case WIRE_WAIT: return "it has not answered yet";
    }
    return "?";
}
