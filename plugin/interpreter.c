/*
 * Starting, sharing and forking the Python interpreter.
 *
 * The program that loaded this plugin may be threaded (slapd), may fork before or after the first
 * login (imapd's master, smtpd), may have anything in its environment and on its standard
 * descriptors, and may be a Python program itself. So the interpreter
 *
 *  - starts on first use, never because the plugin was merely loaded or listed;
 *  - takes nothing from the environment, the current folder or the user's site packages;
 *  - installs no signal handler and runs with SIGPIPE blocked, since Python relies on that signal
 *    being ignored and the program may not have done so;
 *  - is shared with the program if that has one of the same version already, until the program
 *    ends it: what is disposed of after that is left to the end of the process;
 *  - is never finalized and the plugin never unloaded (it is linked with -z nodelete): extension
 *    modules do not survive a second start.
 */

#define _GNU_SOURCE
#include "interpreter.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)
#define PYTHON_SERIES STRINGIFY(PY_MAJOR_VERSION) "." STRINGIFY(PY_MINOR_VERSION)

/* ENVIRONMENT, the virtual environment `make install` made, comes from the Makefile. */
#define EXECUTABLE "/bin/python3"
#define PACKAGES "/lib/python" PYTHON_SERIES "/site-packages"

/*
 * A failed import leaves nothing behind, so that the next one sees the environment as it is then.
 * Without the search path, a program's own Python would not find the package.
 */
static const char loader[] =
    "import importlib, sys\n"
    "def load(packages):\n"
    "    sys.path.append(packages)\n"
    "    importlib.invalidate_caches()\n"
    "    try:\n"
    "        return importlib.import_module('browserid_sasl.cyrus')\n"
    "    except BaseException:\n"
    "        sys.path[:] = [entry for entry in sys.path if entry != packages]\n"
    "        for name in [name for name in sys.modules if name.startswith('browserid_sasl')]:\n"
    "            del sys.modules[name]\n"
    "        raise\n";

static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static bool fork_handlers_registered;
static bool seen; /* there has been an interpreter, ours or the program's */

static __thread PyGILState_STATE fork_gil;
static __thread bool fork_is_ours;

/*
 * A fork while another thread runs Python would leave the child with a lock nobody holds. When
 * the thread that forks has the lock itself, Python is doing the fork and does all this too.
 */
static void before_fork(void) {
    pthread_mutex_lock(&start_lock);
    fork_is_ours = Py_IsInitialized() && !PyGILState_Check();
    if (fork_is_ours) {
        fork_gil = PyGILState_Ensure();
        PyOS_BeforeFork();
    }
}

static void after_fork_in_parent(void) {
    if (fork_is_ours) {
        PyOS_AfterFork_Parent();
        PyGILState_Release(fork_gil);
    }
    pthread_mutex_unlock(&start_lock);
}

/*
 * In the child this thread's state is the only one left, and Python does not survive the loss of
 * its last: it is kept, not released.
 */
static void after_fork_in_child(void) {
    if (fork_is_ours) {
        PyOS_AfterFork_Child();
        PyEval_SaveThread();
    }
    pthread_mutex_unlock(&start_lock);
}

/*
 * A plugin is loaded with RTLD_LOCAL, and with it the libpython it needs. Python's extension
 * modules are not linked with libpython and look its symbols up globally.
 */
static void make_symbols_global(void) {
    Dl_info info;

    if (dladdr((void *)&PyExc_Exception, &info) && info.dli_fname)
        (void)dlopen(info.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
}

static PyStatus start_isolated(const char *executable) {
    PyPreConfig preconfig;
    PyConfig config;
    PyStatus status;

    PyPreConfig_InitIsolatedConfig(&preconfig);
    preconfig.utf8_mode = 1; /* whatever locale the program runs in */
    status = Py_PreInitialize(&preconfig);
    if (PyStatus_Exception(status))
        return status;

    PyConfig_InitIsolatedConfig(&config);
    config.install_signal_handlers = 0;
    config.write_bytecode = 0; /* the environment belongs to root */
    config.site_import = 0; /* the loader adds the one folder there is to add, and runs no .pth */
    status = PyConfig_SetBytesString(&config, &config.executable, executable);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return status;
}

/*
 * imapd's descriptors 0, 1 and 2 are the client's connection. Nothing that Python or a library
 * prints may go there.
 */
static void close_standard_streams(void) {
    static const char *const streams[] = {"stdin", "stdout", "stderr"};

    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
        (void)PySys_SetObject(streams[i], Py_None);
}

/*
 * A path in the environment. That is a symbolic link which an upgrade moves: resolved, a process
 * keeps using the release it began with.
 */
static void in_environment(const char *path, char result[PATH_MAX]) {
    char release[PATH_MAX];

    if (!realpath(ENVIRONMENT, release))
        snprintf(release, sizeof release, "%s", ENVIRONMENT);
    if (snprintf(result, PATH_MAX, "%s%s", release, path) >= PATH_MAX)
        result[0] = '\0';
}

/* Called with start_lock held, and never waits for the interpreter's lock. */
static bool start(char *why, size_t size) {
    char executable[PATH_MAX];
    PyStatus status;

    if (!fork_handlers_registered) {
        if (pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0) {
            snprintf(why, size, "pthread_atfork failed: no memory");
            return false;
        }
        fork_handlers_registered = true;
    }
    if (Py_IsInitialized()) {
        seen = true;
        return true;
    }
    if (seen) {
        snprintf(why, size, "the program has ended its Python interpreter");
        return false;
    }
    in_environment(EXECUTABLE, executable);
    if (access(executable, X_OK) != 0) {
        snprintf(why, size, "%s: %s: run `make install` again, and let every service's user read it",
                 executable, strerror(errno));
        return false;
    }
    make_symbols_global();
    status = start_isolated(executable);
    if (PyStatus_Exception(status)) {
        snprintf(why, size, "Python does not start: %s", status.err_msg ? status.err_msg : "?");
        return false;
    }
    close_standard_streams();
    PyEval_SaveThread();
    seen = true;
    return true;
}

/* Put into `why`, in words, the exception that is set; it is cleared. */
static void describe_exception(char *why, size_t size) {
    PyObject *type, *value, *traceback, *text;
    const char *words = NULL;

    PyErr_Fetch(&type, &value, &traceback);
    text = value ? PyObject_Str(value) : NULL;
    if (text)
        words = PyUnicode_AsUTF8(text);
    snprintf(why, size, "%s: run `make install` again (" ENVIRONMENT ")",
             words ? words : "out of memory");
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

static PyObject *run_loader(void) {
    char packages[PATH_MAX];
    PyObject *names, *done, *module = NULL;
    int collecting;

    in_environment(PACKAGES, packages);
    names = Py_BuildValue("{s:O}", "__builtins__", PyEval_GetBuiltins());
    if (!names)
        return NULL;
    collecting = PyGC_Disable(); /* nothing that an import makes is garbage */
    done = PyRun_String(loader, Py_file_input, names, names);
    if (done)
        module = PyObject_CallFunction(PyDict_GetItemString(names, "load"), "s", packages);
    if (collecting)
        PyGC_Enable();
    Py_XDECREF(done);
    Py_DECREF(names);
    return module;
}

/* The module, which lives as long as the interpreter once it is there. */
static PyObject *import_bridge(char *why, size_t size) {
    static PyObject *bridge;
    PyObject *module;

    if (bridge)
        return bridge;
    if (strncmp(Py_GetVersion(), PYTHON_SERIES ".", sizeof PYTHON_SERIES) != 0) {
        snprintf(why, size, "this program runs Python %.10s, the plugin was built for " PYTHON_SERIES,
                 Py_GetVersion());
        return NULL;
    }
    module = run_loader();
    if (!module)
        describe_exception(why, size);
    else if (bridge) /* another thread was here while the import gave the lock away */
        Py_DECREF(module);
    else
        bridge = module;
    return bridge;
}

static void block_sigpipe(struct python_section *section) {
    sigset_t pipe_only, pending;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigemptyset(&pending);
    sigpending(&pending);
    section->sigpipe_was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_only, &section->signals);
}

static void unblock_sigpipe(struct python_section *section) {
    static const struct timespec at_once = {0, 0};
    sigset_t pipe_only;

    if (!section->sigpipe_was_pending) {
        sigemptyset(&pipe_only);
        sigaddset(&pipe_only, SIGPIPE);
        while (sigtimedwait(&pipe_only, NULL, &at_once) == -1 && errno == EINTR)
            ;
    }
    pthread_sigmask(SIG_SETMASK, &section->signals, NULL);
}

PyObject *python_enter(struct python_section *section, char *why, size_t size) {
    PyObject *bridge;
    bool started;

    block_sigpipe(section);
    pthread_mutex_lock(&start_lock);
    started = start(why, size);
    pthread_mutex_unlock(&start_lock);
    if (!started) {
        unblock_sigpipe(section);
        return NULL;
    }
    section->gil = PyGILState_Ensure();
    bridge = import_bridge(why, size);
    if (!bridge)
        python_leave(section);
    return bridge;
}

void python_leave(struct python_section *section) {
    PyGILState_Release(section->gil);
    unblock_sigpipe(section);
}
