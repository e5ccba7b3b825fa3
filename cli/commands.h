/* The commands of `hubbub`: each takes its own argument vector, argv[0] being its name, and returns an exit
 * code. */
#ifndef HUBBUB_CLI_COMMANDS_H
#define HUBBUB_CLI_COMMANDS_H

/* hubbub run: the whole stack on one machine. */
int command_run(int argc, char **argv);

/* hubbub stats, rooms, room, gateways, backends, user, session, archive, kick, close, drain, resume, loglevel,
   config: one question to the router's stats socket.  argv[0] says which. */
int command_ask(int argc, char **argv);

/* hubbub top: the figures of a running router, live on the whole screen. */
int command_top(int argc, char **argv);

/* hubbub doctor: what a stack on this machine needs, and what to mend. */
int command_doctor(int argc, char **argv);

/* hubbub history, export: a room's messages. */
int command_history(int argc, char **argv);
int command_export(int argc, char **argv);

/* hubbub backup, restore: copies of the journal. */
int command_backup(int argc, char **argv);
int command_restore(int argc, char **argv);

/* hubbub keygen: makes a pair of keys for the link. */
int command_keygen(int argc, char **argv);

/* hubbub token: makes a token for a client. */
int command_token(int argc, char **argv);

#endif
