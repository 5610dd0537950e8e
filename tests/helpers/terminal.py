#!/usr/bin/python3
"""Runs a command on a terminal of its own, as a person does who looks away.

usage: terminal.py TEXT MEANWHILE ANSWER COMMAND

When the shell command COMMAND says TEXT, the shell command MEANWHILE is run;
then ANSWER is typed, or, with ANSWER "hangup", the terminal is taken away.
Prints what was said and ends with COMMAND's status; with 0 after a hangup.
"""

import os
import pty
import subprocess
import sys

text, meanwhile, answer, command = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("bash", ["bash", "-c", command])

said, answered = b"", False
while True:
    try:
        chunk = os.read(terminal, 4096)
    except OSError:  # EIO: the last process has closed it
        chunk = b""
    if not chunk:
        break
    said += chunk
    if answered or text.encode() not in said:
        continue
    answered = True
    subprocess.run(["bash", "-c", meanwhile], check=True, stdout=sys.stderr)
    if answer == "hangup":
        os.close(terminal)
        break
    os.write(terminal, answer.encode() + b"\n")

sys.stdout.write(said.decode(errors="replace").replace("\r", ""))
if not answered:
    sys.exit("it never said: " + text)
sys.exit(0 if answer == "hangup" else os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
