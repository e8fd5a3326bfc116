CREATE TABLE accounts (
	email VARCHAR(254) NOT NULL,
	password VARCHAR NOT NULL,
	created INTEGER NOT NULL,
	changed INTEGER NOT NULL,
	PRIMARY KEY (email)
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
