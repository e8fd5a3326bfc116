CREATE TABLE accounts (
	email VARCHAR(254) NOT NULL,
	password VARCHAR NOT NULL,
	created INTEGER NOT NULL,
	changed INTEGER NOT NULL,
	PRIMARY KEY (email)
);
CREATE TABLE answered_challenges (
	nonce VARCHAR NOT NULL,
	expires INTEGER NOT NULL,
	PRIMARY KEY (nonce)
);
CREATE INDEX ix_answered_challenges_expires ON answered_challenges (expires);
CREATE TABLE challenge_key (
	id INTEGER NOT NULL,
	secret VARCHAR NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE domain (
	name VARCHAR(253) NOT NULL,
	created INTEGER NOT NULL,
	PRIMARY KEY (name)
);
CREATE TABLE failures (
	id INTEGER NOT NULL,
	email VARCHAR(254) NOT NULL,
	network VARCHAR(64) NOT NULL,
	time INTEGER NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX failures_email ON failures (email, time);
CREATE INDEX failures_network ON failures (network, time);
CREATE INDEX failures_time ON failures (time);
CREATE TABLE invitations (
	email VARCHAR(254) NOT NULL,
	digest VARCHAR NOT NULL,
	created INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	PRIMARY KEY (email),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE,
	UNIQUE (digest)
);
CREATE TABLE new_second_factors (
	email VARCHAR(254) NOT NULL,
	secret VARCHAR NOT NULL,
	expires INTEGER NOT NULL,
	PRIMARY KEY (email),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE
);
CREATE TABLE passkeys (
	id INTEGER NOT NULL,
	credential VARCHAR NOT NULL,
	email VARCHAR(254) NOT NULL,
	public_key VARCHAR NOT NULL,
	rp_id VARCHAR NOT NULL,
	name VARCHAR NOT NULL,
	counter INTEGER NOT NULL,
	eligible INTEGER NOT NULL,
	backed_up INTEGER NOT NULL,
	created INTEGER NOT NULL,
	used INTEGER NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (credential),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE
);
CREATE INDEX ix_passkeys_email ON passkeys (email);
CREATE TABLE recovery_codes (
	digest VARCHAR NOT NULL,
	email VARCHAR(254) NOT NULL,
	PRIMARY KEY (digest),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE
);
CREATE INDEX ix_recovery_codes_email ON recovery_codes (email);
CREATE TABLE rp_id (
	id INTEGER NOT NULL,
	name VARCHAR NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE second_factors (
	email VARCHAR(254) NOT NULL,
	secret VARCHAR NOT NULL,
	step INTEGER NOT NULL,
	created INTEGER NOT NULL,
	PRIMARY KEY (email),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE
);
CREATE TABLE user_handles (
	email VARCHAR(254) NOT NULL,
	handle VARCHAR NOT NULL,
	PRIMARY KEY (email),
	FOREIGN KEY(email) REFERENCES accounts (email) ON DELETE CASCADE
);
