// Package advice says what to change, on which screen or with which command, for a parameter and a type of
// device. It is data (devices.go) and a sentence around it. Screens are named as in the vendors' current
// manuals; where a device is unknown the words are those of the standards.
package advice

import (
	"strings"

	"privnet/doctor/signature"
)

// topic is a group of parameters that a device has in one place.
type topic int

const (
	// peer is the addresses, version, mode, key and identities of phase 1.
	peer topic = iota
	// ike is the algorithms of phase 1.
	ike
	// esp is the algorithms of phase 2.
	esp
	// networks is the selectors: proxy-IDs, encryption domains, interesting traffic.
	networks
	// initiate is what makes the device open the tunnel, and shows that it tries.
	initiate
	// path is what stands before the device, and its NAT traversal.
	path
	// ways is routes and rules behind the device.
	ways
	// mtu is the size of packets.
	mtu
	// idle is what makes the device close a tunnel.
	idle
	// certificate is what proves the identities.
	certificate
	// clock is the time.
	clock
)

// place is where a parameter is, and what to do there.
type place struct {
	topic topic
	// what is done to it, as in "set the encryption".
	what string
	// with comes between that and the right value, if there is one.
	with string
}

var places = map[signature.Parameter]place{
	signature.IKEVersion:             {peer, "set the IKE version", " to "},
	signature.ExchangeMode:           {peer, "set the exchange mode to main mode", ", "},
	signature.SourceAddress:          {peer, "let the device send from the agreed address (its local interface and address, or the source NAT before it), or tell us the new address", "; agreed is "},
	signature.AuthMethod:             {peer, "set the authentication method", " to "},
	signature.PreSharedKey:           {peer, "enter the pre-shared key again, copied and not typed, without blanks or line ends", ": "},
	signature.OwnIdentityType:        {peer, "set the local identity, its type and its value,", " to "},
	signature.OwnIdentityValue:       {peer, "set the local identity", " to "},
	signature.PeerIdentity:           {peer, "set the peer (remote) identity", " to "},
	signature.OneBox:                 {peer, "give each device an identity and a connection of its own, or switch one off", ": "},
	signature.NATTraversal:           {path, "switch NAT traversal", " "},
	signature.IdleTimeout:            {idle, "switch the idle timeout off", ": "},
	signature.Certificate:            {certificate, "replace the device's certificate", " by "},
	signature.Clock:                  {clock, "set the clock of the device and of the CA that issued its certificate", "; "},
	signature.CertificateCA:          {certificate, "use a certificate that is issued", " by "},
	signature.CertificateName:        {certificate, "use a certificate that has the local identity as its subject alternative name", ": "},
	signature.Revoked:                {certificate, "replace the device's certificate", " by "},
	signature.GatewayTrust:           {certificate, "trust the CA of the gateway's certificate, and expect the peer identity", " "},
	signature.Retries:                {peer, "correct what else is named here; the gateway answers again half a minute after the device pauses", ": "},
	signature.IKEEncryption:          {ike, "set the phase 1 encryption", " to "},
	signature.IKEHash:                {ike, "set the phase 1 hash (integrity, authentication)", " to "},
	signature.IKEPRF:                 {ike, "set the phase 1 PRF", " to "},
	signature.IKEGroup:               {ike, "set the phase 1 Diffie-Hellman group", " to "},
	signature.IKELifetime:            {ike, "set the phase 1 lifetime", " to "},
	signature.ESPEncryption:          {esp, "set the phase 2 encryption", " to "},
	signature.ESPHash:                {esp, "set the phase 2 hash (integrity, authentication)", " to "},
	signature.ESPGroup:               {esp, "switch perfect forward secrecy (PFS) on", " with "},
	signature.ESPLifetime:            {esp, "set the phase 2 lifetime, and no limit by volume,", " to "},
	signature.ESPMode:                {esp, "set the phase 2 protocol and mode to ESP in tunnel mode", ": "},
	signature.PrivateSelector:        {networks, "set the tunnel's local network (proxy-ID, traffic selector)", " to "},
	signature.SegmentSelector:        {networks, "set the tunnel's remote network (proxy-ID, traffic selector)", " to "},
	signature.Selectors:              {networks, "set the tunnel's networks, as seen from the device,", " to "},
	signature.ESPSequence:            {esp, "set extended sequence numbers (ESN)", " "},
	signature.VirtualAddress:         {networks, "make the tunnel one between networks (site to site), without an address from our side (mode config, virtual IP)", ": "},
	signature.Refusal:                {initiate, "see in the device's log why it refuses", ": "},
	signature.LargePackets:           {path, "let large UDP packets and IP fragments out to the gateway, or let the device cut IKE into smaller parts", ": "},
	"integrity of ESP":               {path, "let nothing on the way change ESP (an application gateway, a WAN accelerator), and see that the device uses the agreed hash in full length", ": "},
	"dead peer detection":            {initiate, "clear the old tunnel, so that the device opens a new one, and switch dead peer detection (DPD) on", ": "},
	"missing selector pair":          {networks, "add a tunnel (proxy-ID, child, phase 2 entry)", " with "},
	"IKE packets to the gateway":     {initiate, "make the device initiate, and let UDP 500, UDP 4500 and IP protocol 50 out", " to "},
	signature.AnswersOn500:           {path, "let the gateway's answers from UDP 500 in to the device", ": "},
	signature.RequestsOn4500:         {path, "let the device's packets out to UDP 4500 of the gateway, and switch NAT traversal on", ": "},
	signature.AnswersOn4500:          {path, "let the gateway's answers from UDP 4500 in to the device", ": "},
	signature.Path:                   {path, "see whether the device is up and reaches the internet, and let UDP 500, UDP 4500 and IP protocol 50 pass both ways", ": "},
	"return traffic":                 {ways, "route back into the tunnel, and allow in the rules, what goes", " to "},
	"service in the private network": {ways, "see whether the service runs, and whether its own firewall and the rules before it let the platform's segment in", ": "},
	"private DNS":                    {ways, "see whether the DNS server answers the platform's segment, by UDP and TCP on port 53", ": "},
	"path MTU":                       {mtu, "let ICMP \"fragmentation needed\" pass, or lower the MSS", "; what must pass is "},
}

// here are the parameters on our side.
var here = map[signature.Parameter]string{
	"configuration":              "correct the property that the line names and deploy",
	"egress rules":               "/var/vcap/sys/run/egress-enforcer/status.json says what does not stand; monit restart egress-enforcer applies the rules again",
	"address of the gateway":     "give the gateway's instance group the static IP that connection.gateways declares, and deploy",
	"IP forwarding":              "monit restart egress-enforcer: it switches forwarding on once its rules stand",
	"default route":              "see the instance group's networks: one must have the default gateway",
	"route to the gateway":       "monit restart egress-enforcer on this cell; with routing: iaas see the IaaS's route table",
	"service on this VM":         "monit summary; monit restart NAME; and read /var/vcap/sys/log/NAME",
	"way out of the cell":        "run the doctor on the gateway: if it is healthy there, the cell's packets do not reach it (route table, security group or port security of the IaaS)",
	"tunnel behind the gateway":  "run the doctor on the gateway: this cell's packets reach it",
	"dedication of the cell":     "set diego.rep.placement_tags of the cells to the org's tag alone (privnet render does), and deploy",
	"security group of the apps": "bosh run-errand org-isolation binds the org's security group; then restart the apps: a container keeps what it had when it started",
	"resolver of the cell":       "monit restart bosh-dns on this cell: it reads the private domains (/var/vcap/jobs/private-dns/dns/handlers.json) at its start",
	signature.GatewayKey:         "monit restart ipsec-gateway, and compare the endpoint's id in the plan with what charon's line names",
	signature.GatewayConnection:  "/var/vcap/jobs/ipsec-gateway/bin/reload, or monit restart ipsec-gateway",
	signature.GatewayFirewall:    "iptables-save and the IaaS's security group: let UDP 500, UDP 4500 and IP protocol 50 pass between the gateway and the endpoint",
}

// For says what to change on a device. want is what is right; it may be empty.
func For(device string, parameter signature.Parameter, want string) string {
	if text, ok := here[parameter]; ok {
		if want != "" {
			text = strings.ReplaceAll(text, "NAME", want)
		}
		return text
	}
	p, ok := places[parameter]
	if !ok {
		return ""
	}
	text := p.what
	if want != "" {
		text += p.with + want
	}
	where, known := devices[device]
	if !known {
		where = devices["other"]
	}
	return text + ". " + where[p.topic]
}
