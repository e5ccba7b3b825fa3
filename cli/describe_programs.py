#!/usr/bin/env python3
"""Makes man pages and the completion for bash from what the programs say with --help.

    describe_programs.py page TEMPLATE OUTPUT HUBBUB GATEWAY ROUTER
    describe_programs.py completion TEMPLATE OUTPUT HUBBUB

A line @commands@, @common@, @shared@, @options NAME@, @keys SECTION NAME@ or @exit@ of a page's template is replaced, and so
is @commands@, @options@, @values@ or @arguments@ in that of the completion.
"""
import re
import subprocess
import sys

EVERYWHERE = ('help', 'version', 'config', 'check-config')  # what every program takes
SHARED_FROM = 4  # commands that have an option in common, from which on it is described once


class Option:
    def __init__(self, name, value, text, key, takes, default):
        self.name, self.value, self.text, self.key, self.takes, self.default = name, value, text, key, takes, default

    def identity(self):
        return self.name, self.value, self.text, self.takes, self.default


class Program:
    """What `--help` of a program or a command says."""

    def __init__(self, name, command):
        self.name = name
        self.help = subprocess.run([*command, '--help'], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
        first, usage = self.help.split('\n', 3)[0], re.search(r'^Usage: (.*)$', self.help, re.MULTILINE)[1]
        self.summary = first[len(name) + 2:]
        self.arguments = usage.partition(' [options]')[2].strip()
        found = re.findall(r'^  --(\S+)(?: (\S+))?\n {8}(.*)\n(?: {8}key (\S+), (.*), (?:no default|default (.*))\n)?',
                           self.help, re.MULTILINE)
        self.options = [Option(*match) for match in found]
        if len(self.options) != len(re.findall(r'^  --', self.help, re.MULTILINE)) or not self.summary:
            raise SystemExit(f'--help of {name} is not understood')
        self.own = [option for option in self.options if option.name not in EVERYWHERE]


def exit_codes(text):
    return re.findall(r'^  (\d+)\t(.*)$', text, re.MULTILINE)


def commands_of(hubbub):
    text = subprocess.run([hubbub, '--help'], check=True, capture_output=True, text=True).stdout
    names = re.findall(r'^  ([a-z]+) +\S', text.split('Commands:\n')[1].split('\n\n')[0], re.MULTILINE)
    return [Program(f'hubbub {name}', [hubbub, name]) for name in names]


# --- man pages (mdoc)

def words(text):
    """A text as lines of mdoc: nothing in it is a request or an escape."""
    return re.sub(r"^([.'])", r'\\&\1', text.replace('\\', r'\e'), flags=re.MULTILINE)


def sentence(text):
    return words(text[0].upper() + text[1:] + ('' if text.endswith('.') else '.'))


def range_lines(option):
    """What it takes, unless that says nothing, and its default."""
    says_nothing = not option.takes or re.fullmatch(r'(a path|text) of \d+ to 4095 bytes', option.takes)
    takes = '' if says_nothing else f'takes {option.takes}'
    default = f'default {option.default}' if option.default else ''
    text = ', '.join(part for part in (takes, default) if part)
    return [sentence(text)] if text else []


def option_lines(options):
    lines = ['.Bl -tag -width Ds']
    for option in options:
        lines.append(f'.It Fl -{option.name}' + (f' Ar {option.value}' if option.value else ''))
        lines += [sentence(option.text), *range_lines(option)]
    return [*lines, '.El'] if options else []


def shared_options(commands):
    count = {}
    for command in commands:
        for option in command.own:
            count.setdefault(option.identity(), []).append(option)
    return [options[0] for options in count.values() if len(options) >= SHARED_FROM]


def joined(macros):
    """.Fl -a ,  .Fl -b  and  .Fl -c ."""
    lines = []
    for i, macro in enumerate(macros):
        if i == len(macros) - 1:
            lines += (['and'] if i else []) + [macro + ' .']
        else:
            lines.append(macro + (' ,' if i < len(macros) - 2 else ''))
    return lines


def same_as_before(command, earlier):
    """An earlier command all of whose options this one has, if it has some."""
    mine = {option.identity() for option in command.own}
    return next((one for one in earlier if len(one.own) >= SHARED_FROM and {option.identity() for option in one.own} <= mine), None)


def command_lines(commands):
    shared = {option.identity() for option in shared_options(commands)}
    lines = []
    for i, command in enumerate(commands):
        told = set()
        lines += [f'.Ss {command.name}' + (f' {words(command.arguments)}' if command.arguments else ''), sentence(command.summary)]
        like = same_as_before(command, commands[:i])
        too = [f'.Fl -{option.name}' for option in command.own if option.identity() in shared]
        if like:
            told = {option.identity() for option in like.own}
            lines += ['Takes the options of', f'.Nm Cm {like.name.split()[1]} .']
        elif too:
            told = shared
            lines += ['Takes', *joined(too)]
        lines += option_lines([option for option in command.own if option.identity() not in told])
    return lines


def key_lines(program, section):
    lines = ['.Bl -tag -width Ds']
    for option in program.own:
        if option.key.partition('.')[0] != section:
            continue
        lines += [f'.It Va {option.key.partition(".")[2]}', sentence(option.text), *range_lines(option)]
    return [*lines, '.El']


def page(template, output, hubbub, gateway, router):
    commands = commands_of(hubbub)
    programs = {'hubbub-gateway': Program('hubbub-gateway', [gateway]), 'hubbub-router': Program('hubbub-router', [router]),
                **{command.name: command for command in commands}}
    with open(template, encoding='utf-8') as file:
        text = file.read()
    lines = []
    for line in text.split('\n'):
        mark = re.fullmatch(r'@(\w+) ?(.*)@', line)
        if not mark:
            lines.append(line)
        elif mark[1] == 'commands':
            lines += command_lines(commands)
        elif mark[1] == 'common':
            lines += option_lines([option for option in commands[0].options if option.name in EVERYWHERE])
        elif mark[1] == 'shared':
            lines += option_lines(shared_options(commands))
        elif mark[1] == 'options':
            lines += option_lines(programs[mark[2]].options)
        elif mark[1] == 'keys':
            section, _, name = mark[2].partition(' ')
            lines += key_lines(programs[name], section)
        elif mark[1] == 'exit':
            lines.append('.Bl -tag -width Ds')
            for code, meaning in exit_codes(commands[0].help):
                lines += [f'.It {code}', sentence(meaning)]
            lines.append('.El')
        else:
            raise SystemExit(f'{template}: unknown mark {line}')
    with open(output, 'w', encoding='utf-8') as file:
        file.write('\n'.join(lines))


# --- completion

def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def values_of(option):
    """What may stand behind an option: names of bash's, or the words themselves."""
    if option.value == 'PATH':
        return '@files'
    if option.value in ('BOOL', 'TRUE|FALSE') or option.takes == 'true or false':
        return 'true false'
    choice = re.fullmatch(r'((?:\w+, )*\w+) or (\w+)', option.takes)
    return ' '.join([*choice[1].split(', '), choice[2]]) if choice else ''


def completion(template, output, hubbub):
    commands = commands_of(hubbub)
    tables = []
    for command in commands:
        name = command.name.split()[1]
        # With a value: "--name="; alone: "--name".
        options = ' '.join(f'--{option.name}' + ('=' if option.value else '') for option in command.options)
        tables += [f'    [{name}]={quoted(options)}']
    values = {}
    for command in commands:
        for option in command.options:
            if option.value and values_of(option):
                values[f'{command.name.split()[1]} --{option.name}'] = values_of(option)
    arguments = {command.name.split()[1]: command.arguments for command in commands if command.arguments}
    replacements = {
        'commands': ' '.join(command.name.split()[1] for command in commands),
        'options': '\n'.join(tables),
        'values': '\n'.join(f'    [{quoted(key)}]={quoted(value)}' for key, value in values.items()),
        'arguments': '\n'.join(f'    [{key}]={quoted(value)}' for key, value in arguments.items()),
    }
    with open(template, encoding='utf-8') as file:
        text = file.read()
    for name, value in replacements.items():
        text = text.replace(f'@{name}@', value)
    with open(output, 'w', encoding='utf-8') as file:
        file.write(text)


if __name__ == '__main__':
    {'page': page, 'completion': completion}[sys.argv[1]](*sys.argv[2:])
