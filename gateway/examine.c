/* The gateway's part of hubbub doctor; see examine.h.  main.c calls it, and no gateway runs then. */
#include "gateway/examine.h"

#include "common/finding.h"
#include "proto/wire.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <zlib.h>
#include <zmq.h>

enum { DAYS_FEW = 21 }; /* until a certificate ends, from which on one should hear of it */

static void examine_versions(struct buffer *out)
{
    int major, minor, patch;

    zmq_version(&major, &minor, &patch);
    finding_append(
        out, FINDING_OK, "versions", NULL,
        "hubbub-gateway %s, link protocol %d.%d; ZeroMQ %d.%d.%d, libevent %s, OpenSSL %s, zlib %s",
        HUBBUB_VERSION, WIRE_MAJOR, WIRE_MINOR, major, minor, patch, event_get_version(),
        OpenSSL_version(OPENSSL_VERSION_STRING), zlibVersion());
}

/* NULL when the file holds none; the settings have complained then. */
static X509 *read_certificate(const char *path)
{
    FILE *file = fopen(path, "re");
    X509 *certificate = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;

    if (file)
        fclose(file);
    return certificate;
}

static void examine_certificate(struct buffer *out, const char *path)
{
    static const char mend[] = "renew it, and send the gateways SIGHUP, which has them read it anew";
    X509 *certificate = read_certificate(path);
    int days = 0, seconds = 0;

    if (!certificate)
        return;
    if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        finding_append(out, FINDING_ERROR, "certificate", "look at the clock, or wait", "%s is not valid yet",
                       path);
    else if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        finding_append(out, FINDING_ERROR, "certificate", mend, "%s has ended: clients refuse it", path);
    else if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)) && days < DAYS_FEW)
        finding_append(out, FINDING_WARNING, "certificate", mend, "%s ends in %d days", path, days);
    else
        finding_append(out, FINDING_OK, "certificate", NULL, "%s lasts for %d days", path, days);
    X509_free(certificate);
}

void gateway_examine(const struct gateway_settings *settings, struct buffer *out)
{
    examine_versions(out);
    for (size_t i = 0; i < settings->tls.files.count; i++)
        examine_certificate(out, settings->tls.files.files[i].certificate);
}
