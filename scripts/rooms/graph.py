import ast,sys
from pathlib import Path
root=Path(sys.argv[1] if len(sys.argv)>1 else '.'); pre=sys.argv[2] if len(sys.argv)>2 else 'automtl.data'
mods={}
for p in (root/'automtl').rglob('*.py'):
    m='.'.join(p.relative_to(root).with_suffix('').parts)
    if m.endswith('.__init__'): m=m[:-9]
    mods[m]=p
def imports(m):
    t=ast.parse(mods[m].read_text()); out=set()
    for n in ast.walk(t):
        if isinstance(n,ast.ImportFrom) and n.module:
            for a in n.names:
                f=f'{n.module}.{a.name}'
                out.add(f if f in mods else n.module)
        elif isinstance(n,ast.Import):
            out|={a.name for a in n.names}
    return {o for o in out if o in mods}
g={m:imports(m) for m in mods}
inv={m:{x for x in g if m in g[x]} for m in mods}
for m in sorted(mods):
    if m.startswith(pre):
        s=lambda x:x.replace('automtl.','')
        print(s(m).split('.')[-1] if m.count('.')>1 else m, len(mods[m].read_text().splitlines()), '->', ' '.join(sorted(s(x).replace('data.','') for x in g[m])), '| by:', ' '.join(sorted(s(x).replace('data.','d.') for x in inv[m])))
