"""Makes chat.json: chat templates, and what jinja2 makes of them, set up as transformers does it
(`_compile_jinja_template` of transformers 4.57: blocks leave no lines, loop controls, `generation`, its own
`tojson`), with the date that the program always tells.

    python -m venv env && env/bin/pip install jinja2==3.1.6
    env/bin/python make_chat.py

The templates are ours, one for each thing that real ones do. A folder with real ones, *.jinja, makes
golden values of these instead: those of llama.cpp, for example, which are in its repository and in the
source of the PyPI package llama-cpp-python.

    env/bin/python make_chat.py FOLDER OUT.json
"""

import datetime
import json
import pathlib
import sys

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

TEMPLATES = {
    "plain": "{% for m in messages %}\n<{{ m['role'] }}> {{ m.content | trim }}\n{% endfor %}\n<bot>",
    "special tokens": "{{ bos_token }}{%- for m in messages -%}{{ m.content + eos_token }}{%- endfor %}",
    "first message": (
        "{%- if messages[0]['role'] == 'system' %}{%- set rest = messages[1:] %}S:{{ messages[0].content }}\n"
        "{%- else %}{%- set rest = messages %}{%- endif %}{% for m in rest %}{{ loop.index0 }}{{ m.role[-1] }}{% endfor %}"
    ),
    "methods": "{% for m in messages %}{{ m.content.strip().upper().split(' ')[-1] }};{{ m.content.startswith('I') }}{% endfor %}",
    "namespace": "{% set n = namespace(last='') %}{% for m in messages %}{% set n.last = m.role %}{% endfor %}{{ n.last }}",
    "macro": "{% macro turn(m, mark='#') %}{{ mark }}{{ m.content }}{% endmacro %}{% for m in messages %}{{ turn(m) }}{% endfor %}",
    "json": "{{ messages | tojson }}\n{{ messages[0] | tojson(indent=4) }}",
    "generation": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{%- generation -%} {% endgeneration %}{% endfor %}",
    "loop controls": "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ m.content }}{% break %}{% endfor %}",
    "date": "{{ strftime_now('%d %b %Y') }}, {{ strftime_now(\"%A, %B %d, %Y; %Y-%m-%d\") }}",
    "no tools": "{% if tools is not none and tools | length %}tools{% elif tools is iterable and tools | length > 0 %}more{% endif %}{{ tools is defined }}",
    "generation prompt": "{% if add_generation_prompt is defined and add_generation_prompt %}\n  <go>\n{% endif %}\n",
    "no system": "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}ok",
    "alternating": "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}{% endfor %}",
}


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("said"), [], [], body).set_lineno(line)

    def said(self, caller):
        return caller()


def environment():
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise TemplateError(message)

    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda form: datetime.datetime(2024, 7, 26).strftime(form)
    return made


def cases(templates):
    message = "I liked \"Alien\" <1979> & Amélie;\n what's next?"
    for name, template in templates.items():
        for system in ["", "You recommend films. "]:
            said = [{"role": "system", "content": system}] if system else []
            said.append({"role": "user", "content": message})
            try:
                expected = environment().from_string(template).render(
                    messages=said, tools=None, documents=None, add_generation_prompt=True,
                    bos_token="<s>", eos_token="</s>",
                )
            except Exception as error:
                print(f"{name}: {error!r}")
                expected = None
            yield {"name": name, "template": template, "system": system, "message": message, "expected": expected}


if __name__ == "__main__":
    out = pathlib.Path(__file__).with_name("chat.json")
    if len(sys.argv) > 1:
        TEMPLATES = {path.name: path.read_text() for path in sorted(pathlib.Path(sys.argv[1]).glob("*.jinja"))}
        out = pathlib.Path(sys.argv[2])
    out.write_text(json.dumps(list(cases(TEMPLATES)), indent=0, ensure_ascii=False) + "\n")
