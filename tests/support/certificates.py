"""Certificates that sign themselves, made when a test needs them."""
import pathlib
import subprocess


def make(folder, name, *names):
    """Writes NAME.pem and NAME.key into the folder, for those names ("DNS:a.test", "IP:127.0.0.1"); their paths."""
    certificate, key = (pathlib.Path(folder) / f'{name}.{kind}' for kind in ('pem', 'key'))
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                    '-keyout', key, '-out', certificate, '-days', '2', '-subj', f'/CN={name}',
                    '-addext', f'subjectAltName={",".join(names)}'], check=True, capture_output=True)
    return certificate, key
