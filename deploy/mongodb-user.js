// Run once by the mongo image when its volume is new: the user as whom the router writes its archive.
const password = require('fs').readFileSync('/run/secrets/password', 'utf8').trim();
db.getSiblingDB('hubbub').createUser({ user: 'hubbub', pwd: password, roles: [{ role: 'readWrite', db: 'hubbub' }] });
