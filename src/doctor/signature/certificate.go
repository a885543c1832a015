package signature

import (
	"cmp"
	"time"
)

// dates is how charon prints a time.
const dates = "Jan _2 15:04:05 2006"

// refuse keeps why a certificate is refused. The failure follows on a line of its own.
func (x *exchange) refuse(match map[string]string) {
	f := Finding{Parameter: CertificateCA, Got: match["issuer"], Want: "a CA that was given to us (property endpoint_ca)",
		Meaning: "the endpoint's certificate is of a CA that was not agreed"}
	switch {
	case match["revoked"] != "":
		f = Finding{Parameter: Revoked, Got: "revoked on " + match["revoked"], Want: "a certificate that is not on the CA's revocation list",
			Meaning: "the CA has revoked the endpoint's certificate"}
	case match["which"] == "issuer":
		f.Got = "valid from " + match["from"] + " to " + match["until"]
		f.Meaning = "the CA of the endpoint's certificate is not valid now"
	case match["until"] != "":
		f = Finding{Parameter: Certificate, Got: "valid from " + match["from"] + " to " + match["until"], Want: "a certificate that is valid now",
			Meaning: "the endpoint's certificate has ended"}
		if from, err := time.Parse(dates, match["from"]); err == nil && x.last.Before(from) {
			f.Parameter, f.Want = Clock, "the gateway's time is "+x.last.UTC().Format(dates)
			f.Meaning = "the endpoint's certificate is not valid yet: the clock of who issued it is ahead, or it was issued for later"
		}
	}
	x.refusal = &f
}

// certificate is the failure of an endpoint that proves itself by a certificate.
func certificate(r *Reader, x *exchange, match map[string]string) []Finding {
	switch {
	case !r.Expect.Certificates:
		return method(r, x, map[string]string{"method": "certificate"})
	case x.refusal != nil:
		return []Finding{*x.refusal}
	}
	return []Finding{{Parameter: CertificateName, Got: cmp.Or(x.subject, "none"), Want: match["id"]}}
}

const otherMethod = "the endpoint wants to authenticate by another method than was agreed"

// noKey is the failure of an endpoint that wants a pre-shared key.
func noKey(r *Reader, _ *exchange, _ map[string]string) []Finding {
	if r.Expect.Certificates {
		return []Finding{{Parameter: AuthMethod, Side: Customer, Got: "pre-shared key", Want: "certificate", Meaning: otherMethod}}
	}
	return []Finding{{Parameter: GatewayKey}}
}

// refused is of an endpoint that does not take what the gateway showed it.
func refused(r *Reader, _ *exchange, _ map[string]string) []Finding {
	if r.Expect.Certificates {
		return []Finding{{Parameter: GatewayTrust, Want: r.Expect.Gateway.String(),
			Meaning: "the endpoint closes phase 1 as soon as the gateway has shown its certificate: it does not know the CA, expects another identity, or its clock is wrong"}}
	}
	return []Finding{{Parameter: PeerIdentity, Want: r.Expect.Gateway.String()}}
}
