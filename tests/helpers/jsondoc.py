#!/usr/bin/python3
"""Are the fields that were printed those of the man page, with their types?

usage: jsondoc.py PAGE SUBSECTION,... FILE...

SUBSECTION is one of the page's section JSON; all FILEs together have every field
of it that may not be absent. Prints what differs, a line each, and nothing if nothing does.
"""

import json
import re
import sys

TYPES = {bool: "boolean", int: "integer", str: "string", type(None): "null"}


def read_page(page, subsections):
    fields, section, subsection = {}, None, None
    for line in open(page):
        if line.startswith(".Sh "):
            section, subsection = line.split()[1], None
        elif line.startswith(".Ss "):
            subsection = line[4:].strip().replace("\\-", "-")
        match = re.match(r"\.It Va (\S+) Pq (.+)$", line)
        if match and section == "JSON" and subsection in subsections:
            fields[match[1]] = set(match[2].split(" or "))
    return fields


def note(seen, path, value, fields):
    """The types of @value and of all in it; "<name>" stands for a name that is data."""
    if isinstance(value, list):
        for item in value:
            note(seen, path + "[]", item, fields)
        return
    if not isinstance(value, dict):
        seen.setdefault(path, set()).add(TYPES[type(value)])
        return
    if path in fields:
        seen.setdefault(path, set()).add("object")
    prefix = path + "." if path else ""
    named = {re.match(re.escape(prefix) + r"<[a-z]+>", field) for field in fields} - {None}
    for key, item in value.items():
        note(seen, next(iter(named))[0] if named else prefix + key, item, fields)


fields = read_page(sys.argv[1], sys.argv[2].split(","))
seen = {}
for name in sys.argv[3:]:
    with open(name) as file:
        note(seen, "", json.load(file), fields)
if not fields:
    print("the page has no fields of", sys.argv[2])
for path in sorted(seen.keys() | fields.keys()):
    if path not in fields:
        print(path, "is not documented")
    elif path not in seen and "absent" not in fields[path]:
        print(path, "is documented and was not printed")
    elif path in seen and not seen[path] <= fields[path]:
        print(path, "is", ", ".join(sorted(seen[path] - fields[path])), "and not documented so")
