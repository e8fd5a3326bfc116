// Makes an assertion by Mozilla's client side, as browserid-local-verify's tests do.
//
// Its argument is the folder of browserid-crypto; standard input is a JSON object: the keys' kinds and sizes
// (`idp`, `user`: [algorithm, keysize]), `issuer`, `email`, `audience`, `claims`, and in ms `certificateIssued`,
// `certificateExpires`, `issued`, `expires`. Standard output is one: `assertion`, `key` (the provider's).
'use strict';

const jwcrypto = require(process.argv[2]);
require(process.argv[2] + '/lib/algs/rs');
require(process.argv[2] + '/lib/algs/ds');

const wanted = JSON.parse(require('fs').readFileSync(0, 'utf8'));

function fail(error) {
  console.error(error);
  process.exit(1);
}

function pair(kind, then) {
  jwcrypto.generateKeypair({ algorithm: kind[0], keysize: kind[1] }, function (error, made) {
    if (error) return fail(error);
    then(made);
  });
}

pair(wanted.idp, function (idp) {
  pair(wanted.user, function (user) {
    jwcrypto.cert.sign(
      { publicKey: user.publicKey, principal: { email: wanted.email } },
      {
        issuer: wanted.issuer,
        issuedAt: new Date(wanted.certificateIssued),
        expiresAt: new Date(wanted.certificateExpires),
      },
      wanted.claims,
      idp.secretKey,
      function (error, certificate) {
        if (error) return fail(error);
        jwcrypto.assertion.sign(
          {},
          {
            audience: wanted.audience,
            issuedAt: wanted.issued === null ? undefined : new Date(wanted.issued),
            expiresAt: new Date(wanted.expires),
          },
          user.secretKey,
          function (error, assertion) {
            if (error) return fail(error);
            console.log(
              JSON.stringify({
                assertion: jwcrypto.cert.bundle([certificate], assertion),
                key: idp.publicKey.toSimpleObject(),
              })
            );
          }
        );
      }
    );
  });
});
