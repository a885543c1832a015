package platform

import (
	"encoding/binary"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"go4.org/netipx"

	"privnet/connection"
	"privnet/document"
)

// Parse reads a platform file. The error is document.Problems with everything that is wrong.
func Parse(file string, data []byte) (Platform, error) {
	doc, err := document.Parse(file, data)
	if err != nil {
		return Platform{}, err
	}
	p := read(doc.Root())
	if err := doc.Err(); err != nil {
		return Platform{}, err
	}
	return p, nil
}

func read(v document.Value) Platform {
	if !v.Fields("iaas", "segments", "azs", "prefix_length", "routing", "public_addresses", "gateway_address",
		"gateway_deployment", "public_network", "networks", "domains", "egress_addresses", "cells", "gateway_vm_type", "cell_group",
		"guarded_elsewhere", "org_isolation", "quarantine_days") {
		return Platform{}
	}
	p := Platform{
		PrefixLength:    number(v.Get("prefix_length"), DefaultPrefixLength, 16, 28),
		PublicAddresses: readPublicAddresses(v.Get("public_addresses"), "the public addresses that gateways may have", true),
		Networks:        readNetworks(v.Get("networks")),
		EgressAddresses: readPublicAddresses(v.Get("egress_addresses"), "the addresses that the internet sees when an app connects to it", false),
		Cells:           readCells(v.Get("cells")),
		GatewayVMType:   text(v.Get("gateway_vm_type"), DefaultGatewayVMType),
		CellGroup:       text(v.Get("cell_group"), DefaultCellGroup),
		QuarantineDays:  number(v.Get("quarantine_days"), DefaultQuarantine, 0, 3650),
	}
	iaas := v.Get("iaas")
	iaas.Required("one of aws, azure, gcp, openstack, vsphere, bosh-lite")
	p.IaaS = IaaS(iaas.OneOf("", string(AWS), string(Azure), string(GCP), string(OpenStack), string(VSphere), string(BOSHLite)))
	p.PublicSource = v.Get("public_addresses")
	p.readPools(v.Get("segments"))
	p.readAZs(v.Get("azs"))
	p.readRouting(v.Get("routing"))
	p.readGatewayAddress(v)
	p.GatewayDeployment = GatewayDeployment(v.Get("gateway_deployment").OneOf(string(GatewayWithCells),
		string(GatewayWithCells), string(GatewayOwn)))
	p.readOrgIsolation(v.Get("org_isolation"))
	for _, element := range v.Get("domains").List() {
		p.Domains = append(p.Domains, strings.TrimSuffix(connection.ReadDomain(element), "."))
	}
	for _, element := range v.Get("guarded_elsewhere").List() {
		p.GuardedElsewhere = append(p.GuardedElsewhere, element.Required("the name of an instance group"))
	}
	return p
}

func (p *Platform) readOrgIsolation(v document.Value) {
	if !v.Present() || !v.Fields("api_url", "api_ca_certificate", "client_id", "client_secret", "network", "az", "vm_type") {
		return
	}
	fallback := ""
	if len(p.AZs) > 0 {
		fallback = p.AZs[0]
	}
	p.OrgIsolation = &OrgIsolation{
		APIURL:           v.Get("api_url").Required("the URL of the Cloud Foundry API, as in https://api.((system_domain))"),
		APICACertificate: v.Get("api_ca_certificate").Text(),
		ClientID:         text(v.Get("client_id"), DefaultClientID),
		ClientSecret:     text(v.Get("client_secret"), DefaultClientSecret),
		Network:          text(v.Get("network"), DefaultErrandNetwork),
		AZ:               text(v.Get("az"), fallback),
		VMType:           text(v.Get("vm_type"), DefaultErrandVMType),
	}
	if url := v.Get("api_url"); url.Text() != "" && !strings.HasPrefix(url.Text(), "https://") {
		url.Problem("is not spoken to; the errand speaks https only")
	}
	if secret := v.Get("client_secret"); secret.Present() && !wholeVariable.MatchString(secret.Text()) {
		secret.SecretProblem("must be a ((variable)), so that no file holds a secret")
	}
}

var wholeVariable = regexp.MustCompile(`^\(\([^()]+\)\)$`)

func (p *Platform) readPools(v document.Value) {
	for _, element := range v.RequiredList("a pool of segments for each AZ: az and cidr") {
		if !element.Fields("az", "cidr", "dns", "route_table", "cloud_properties") {
			continue
		}
		pool := Pool{
			AZ:         element.Get("az").Required("the AZ that this pool is for"),
			DNS:        readAddresses(element.Get("dns"), "DNS servers"),
			RouteTable: element.Get("route_table").Text(),
			Source:     element.Get("cidr"),

			CloudProperties: element.Get("cloud_properties").Mapping(),
		}
		cidr, ok := connection.ReadPrefix(element.Get("cidr"))
		if _, taken := p.Pool(pool.AZ); taken {
			element.Get("az").Problem("has a pool already; give each AZ one")
			continue
		}
		if !ok {
			continue
		}
		pool.CIDR = cidr
		where := element.Get("cidr")
		if cidr.Bits() > p.PrefixLength {
			where.Problem("is smaller than one segment (/%d, by prefix_length); give a larger pool", p.PrefixLength)
		}
		connection.OutsideReserved(where, cidr)
		if _, other, found := connection.Overlap([]netip.Prefix{cidr}, p.Prefixes()); found {
			where.Problem("overlaps the pool %s; pools must be disjoint", other)
		}
		if _, other, found := connection.Overlap([]netip.Prefix{cidr}, p.Networks); found {
			where.Problem("overlaps %s of networks, which the platform uses already; choose another pool", other)
		}
		for _, address := range slices.Concat(p.PublicAddresses, p.EgressAddresses) {
			if cidr.Contains(address) {
				where.Problem("holds %s, which is a public address of the platform; choose another pool", address)
				break
			}
		}
		p.Pools = append(p.Pools, pool)
	}
}

func (p *Platform) readAZs(v document.Value) {
	if !v.Present() {
		for _, pool := range p.Pools {
			p.AZs = append(p.AZs, pool.AZ)
		}
		return
	}
	for _, element := range v.RequiredList("the AZs of a connection, or leave the field out for all that have a pool") {
		az := element.Required("the name of an AZ")
		if _, ok := p.Pool(az); !ok && az != "" {
			element.Problem("has no pool in segments; add one, or leave the AZ out")
		}
		if slices.Contains(p.AZs, az) {
			element.Problem("is listed twice; list it once")
			continue
		}
		p.AZs = append(p.AZs, az)
	}
}

// readRouting chooses who delivers the cells' packets to the gateway, or refuses what cannot work.
func (p *Platform) readRouting(v document.Value) {
	fallback := connection.RoutingHost
	if p.IaaS == Azure || p.IaaS == GCP || p.IaaS == AWS && len(p.AZs) > 1 {
		fallback = connection.RoutingIaaS
	}
	p.Routing = connection.Routing(v.OneOf(string(fallback), string(connection.RoutingHost), string(connection.RoutingIaaS)))
	switch {
	case p.Routing == connection.RoutingIaaS && p.IaaS == BOSHLite:
		v.Problem("cannot be done on bosh-lite, which has no route table; use host")
	case p.Routing == connection.RoutingHost && (p.IaaS == Azure || p.IaaS == GCP):
		v.Problem("cannot be done on %s, whose network ignores a VM's own next hop; use iaas", p.IaaS)
	case p.Routing == connection.RoutingHost && len(p.AZs) > 1:
		v.Problem("host works in one AZ only, because a cell reaches the gateway as its next hop only in its own subnet, and a connection spans %s; set routing: iaas, or azs to one AZ",
			strings.Join(p.AZs, ", "))
	case p.Routing == connection.RoutingIaaS && p.IaaS == AWS:
		for _, pool := range p.Pools {
			if slices.Contains(p.AZs, pool.AZ) && pool.RouteTable == "" {
				v.Problem("iaas on AWS needs the route_table of the pool of %s", pool.AZ)
			}
		}
	}
}

func (p *Platform) readGatewayAddress(v document.Value) {
	fallback := GatewayNIC
	switch p.IaaS {
	case AWS, Azure, GCP, OpenStack:
		fallback = GatewayVIP
	}
	p.GatewayAddress = GatewayAddress(v.Get("gateway_address").OneOf(string(fallback),
		string(GatewayVIP), string(GatewayNAT), string(GatewayNIC)))
	if p.GatewayAddress == GatewayNIC && len(p.AZs) > 1 {
		v.Get("gateway_address").Problem("nic works in one AZ only, because a gateway's default route leaves by the public NIC, and so would its packets to the subnets of the other AZs (of %s); set gateway_address: nat or vip, or azs to one AZ",
			strings.Join(p.AZs, ", "))
	}
	network := v.Get("public_network")
	p.PublicNetwork = network.Text()
	switch {
	case p.GatewayAddress == GatewayNIC && p.PublicNetwork == "":
		network.Problem("is missing; a gateway with a second NIC needs the name of the BOSH network of its public address (or set gateway_address to vip or nat)")
	case p.GatewayAddress != GatewayNIC && p.PublicNetwork != "":
		network.Problem("is for gateway_address: nic only; leave it out")
	}
}

func readCells(v document.Value) Cells {
	if v.Present() {
		v.Fields("app_memory", "memory", "apps_per_cell", "spare", "vm_type")
	}
	c := Cells{
		AppMemory:   number(v.Get("app_memory"), DefaultAppMemory, 16, 1<<20),
		Memory:      number(v.Get("memory"), DefaultCellMemory, 512, 1<<24),
		AppsPerCell: number(v.Get("apps_per_cell"), DefaultAppsPerCell, 1, 10000),
		Spare:       number(v.Get("spare"), DefaultSpare, 0, 100),
		VMType:      v.Get("vm_type").Text(),
	}
	if c.AppMemory > c.Memory {
		v.Get("app_memory").Problem("is more than a cell's memory of %d MB; give a larger cell or a smaller app", c.Memory)
	}
	return c
}

func readNetworks(v document.Value) []netip.Prefix {
	var out []netip.Prefix
	for _, element := range v.RequiredList("the CIDRs that the platform itself uses") {
		if prefix, ok := connection.ReadPrefix(element); ok {
			out = append(out, prefix)
		}
	}
	return out
}

// maxRange is the number of addresses that one element of a list may stand for.
const maxRange = 4096

// readAddresses reads a list of addresses, of which each element may be a single one, a range as in
// 203.0.113.4-203.0.113.9 or a CIDR, of which all addresses count.
func readAddresses(v document.Value, want string) []netip.Addr {
	return readSome(v.List(), want, func(netip.Addr) string { return "" })
}

// readPublicAddresses is readAddresses for addresses that the internet can meet.
func readPublicAddresses(v document.Value, want string, required bool) []netip.Addr {
	if required {
		return readSome(v.RequiredList(want), want, connection.NotPublic)
	}
	return readSome(v.List(), want, connection.NotPublic)
}

// readSome reads a list's elements; wrong says what is wrong with an address.
func readSome(elements []document.Value, want string, wrong func(netip.Addr) string) []netip.Addr {
	var out []netip.Addr
	for _, element := range elements {
		spread, ok := parseRange(element.Required("an address, a range or a CIDR"))
		switch {
		case !ok || !spread.From().Is4():
			element.Problem("is no IPv4 address, range (a-b) or CIDR; give %s", want)
			continue
		case count(spread) > maxRange:
			element.Problem("is more than %d addresses; give what is really yours", maxRange)
			continue
		}
		for address := spread.From(); address.Compare(spread.To()) <= 0; address = address.Next() {
			if why := wrong(address); why != "" {
				element.Problem("has %s, which %s; give %s", address, why, want)
				break
			}
			if slices.Contains(out, address) {
				element.Problem("repeats the address %s; give each once", address)
				break
			}
			out = append(out, address)
		}
	}
	return out
}

func parseRange(text string) (netipx.IPRange, bool) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return netipx.RangeOfPrefix(prefix), true
	}
	if address, err := netip.ParseAddr(text); err == nil {
		return netipx.IPRangeFrom(address, address), true
	}
	spread, err := netipx.ParseIPRange(text)
	return spread, err == nil
}

func count(r netipx.IPRange) uint64 {
	from, to := r.From().As4(), r.To().As4()
	return uint64(binary.BigEndian.Uint32(to[:])) - uint64(binary.BigEndian.Uint32(from[:])) + 1
}

func number(v document.Value, fallback, least, most int) int {
	if !v.Present() {
		return fallback
	}
	// A wrong number is not to make others look wrong.
	if n := v.Int(least, most); n >= least {
		return n
	}
	return fallback
}

func text(v document.Value, fallback string) string {
	if t := v.Text(); t != "" {
		return t
	}
	return fallback
}
