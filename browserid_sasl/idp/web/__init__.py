"""The pages of the identity provider: plain HTML, which works without scripts but for passkeys.

How to add a page:

1. Write a module here with handlers, `def _show(visit: Visit) -> Response`, and a tuple `PAGES` of
   `Page(path, show, submit, signed_in=..., slow=...)`. Add that tuple to `PAGES` in `site.py`, and
   the path to `paths.py`. All paths begin with `paths.PREFIX`, so that a web server before this one
   passes them on. One that a sign-in may lead back to goes into `paths.own_path`.
2. Handlers run in worker threads and may use the database. `visit.email` is who is signed in,
   `visit.form` and `visit.query` have the fields, `visit.now` and `visit.client` what the domain's
   classes want. Whoever is not signed in is sent to sign in before a page with `signed_in=True`,
   and whoever has not been so just now before one with `fresh=True`.
   For a POST the form's token was checked already. `slow=True` gives a POST that hashes a password,
   or takes as long, threads of its own.
3. Answer with `visit.page("name.html", status, **context)`, `visit.redirect(paths.X)` after what
   was done (so that reloading does not do it twice), or `visit.json(...)` for a script of ours.
   Raise `RefusedError` for what ends in an error page; its word is explained in `errors.py`. An
   error that belongs to a field goes back into the form, with status 422: see `signin.py`.
4. A template extends `base.html` and fills the blocks `title` and `main`. Every form has
   `{{ ui.token(csrf) }}` from `ui.html`, which has fields, buttons and errors too. Everything is
   escaped. There are no inline styles and no event attributes; a script is a file in `static/`, by
   `<script src="{{ asset('name.js') }}" nonce="{{ nonce }}" defer></script>` in the block
   `scripts`. What a `fetch` sends is a form as well, with the token in the field `csrf`.
5. Every text is a message: `{{ _("Hello, %(name)s.", name=name) }}` in templates, `N_("...")` in
   Python, where it is only marked and a template translates it. Add it to `locale/de.po`: a test
   says what is missing. Moments are shown by the filter `time`.
"""
