// Package platform reads the platform file: what privnet must know of the operator's platform once, for
// every org. It describes address pools and sizes; it holds no secret and nothing that the operator's
// manifest already says.
package platform

import (
	"net/netip"
	"slices"
	"strings"

	"privnet/connection"
	"privnet/document"
)

// IaaS is the infrastructure that the platform runs on.
type IaaS string

const (
	AWS       IaaS = "aws"
	Azure     IaaS = "azure"
	GCP       IaaS = "gcp"
	OpenStack IaaS = "openstack"
	VSphere   IaaS = "vsphere"
	BOSHLite  IaaS = "bosh-lite"
)

// GatewayAddress says how a gateway VM gets its public address.
type GatewayAddress string

const (
	// GatewayVIP: the CPI attaches it (an elastic or floating IP). The VM has one NIC.
	GatewayVIP GatewayAddress = "vip"
	// GatewayNAT: something outside BOSH maps it 1:1 onto the VM's address. The VM has one NIC.
	GatewayNAT GatewayAddress = "nat"
	// GatewayNIC: it is on a second NIC of the VM, in the operator's public network.
	GatewayNIC GatewayAddress = "nic"
)

// GatewayDeployment says which BOSH deployment has an org's gateway.
type GatewayDeployment string

const (
	// GatewayWithCells is the platform's own, by the ops-file that brings the cells.
	GatewayWithCells GatewayDeployment = "with-cells"
	// GatewayOwn is a deployment that holds nothing else.
	GatewayOwn GatewayDeployment = "own"
)

// Platform is the operator's platform.
type Platform struct {
	IaaS IaaS
	// Pools are the address spaces that segments are cut from, one an AZ.
	Pools []Pool
	// AZs are the ones that a connection spans, the gateway in the first; each has a pool.
	AZs []string
	// PrefixLength is the size of a segment's subnet in one AZ.
	PrefixLength int
	// Routing is chosen from IaaS and AZs unless the file says it.
	Routing connection.Routing
	// PublicAddresses are for gateways, each for one.
	PublicAddresses []netip.Addr
	// PublicSource is where the file lists them.
	PublicSource   document.Value
	GatewayAddress GatewayAddress
	// GatewayDeployment is for orgs to come; an org's gateway stays in the deployment that it is in.
	GatewayDeployment GatewayDeployment
	// PublicNetwork is the operator's BOSH network that a second NIC is in; for GatewayNIC only.
	PublicNetwork string
	// Networks is what the platform itself uses, the overlay not included.
	Networks []netip.Prefix
	// Domains are the DNS domains that the platform's own VMs ask for, without a dot at the end, beside those of BOSH
	// and Cloud Foundry.
	Domains []string
	// EgressAddresses are what the internet sees when an app connects to it.
	EgressAddresses []netip.Addr
	Cells           Cells
	// GatewayVMType is the cloud-config's vm_type for gateways.
	GatewayVMType string
	// CellGroup is the manifest's instance group that dedicated cells are cloned from.
	CellGroup string
	// GuardedElsewhere are the groups of shared cells without an enforcer, whose apps the IaaS's firewall keeps
	// out of the pools: Windows cells.
	GuardedElsewhere []string
	// OrgIsolation is nil where the operator adds the errand otherwise, or not at all.
	OrgIsolation *OrgIsolation
	// QuarantineDays is how long the addresses of an org that has left are nobody's.
	QuarantineDays int
}

// OrgIsolation is what each org's errand org-isolation needs to know of Cloud Foundry and of its own VM. It
// may hold ((variables)).
type OrgIsolation struct {
	APIURL, APICACertificate string
	// ClientID and ClientSecret are of the UAA client that all orgs' errands share.
	ClientID, ClientSecret string
	Network, AZ, VMType    string
}

// Pool is the address space of one AZ.
type Pool struct {
	AZ   string
	CIDR netip.Prefix
	DNS  []netip.Addr
	// RouteTable is the IaaS's route table (or router) that the segment's subnet uses; for routing by the
	// IaaS. It is empty if the platform has one only.
	RouteTable string
	// CloudProperties are the subnet's in the cloud-config.
	CloudProperties map[string]any
	// Source is where the file has the pool.
	Source document.Value
}

// For is the pool as one org sees it: in RouteTable and CloudProperties, {org} and {az} stand for the
// names, because most IaaSes need a subnet for each segment.
func (p Pool) For(org string) Pool {
	names := strings.NewReplacer("{org}", org, "{az}", p.AZ)
	p.RouteTable = p.TableFor(org)
	if p.CloudProperties != nil {
		p.CloudProperties = expand(p.CloudProperties, names).(map[string]any)
	}
	return p
}

// TableFor is the route table of one org.
func (p Pool) TableFor(org string) string {
	return strings.ReplaceAll(strings.ReplaceAll(p.RouteTable, "{org}", org), "{az}", p.AZ)
}

func expand(value any, names *strings.Replacer) any {
	switch v := value.(type) {
	case string:
		return names.Replace(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = expand(v[i], names)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key := range v {
			out[key] = expand(v[key], names)
		}
		return out
	default:
		return value
	}
}

// Cells is how many cells an org gets, and of what size.
type Cells struct {
	// AppMemory and Memory are in MB: of one app instance, and of one cell for apps.
	AppMemory, Memory int
	// AppsPerCell is the number of containers that a cell takes.
	AppsPerCell int
	// Spare is the number of cells that may fail without an app losing its place.
	Spare int
	// VMType is empty to keep the one of the manifest's cell group.
	VMType string
}

// Defaults of the platform file.
const (
	DefaultPrefixLength  = 26
	DefaultCellGroup     = "diego-cell"
	DefaultGatewayVMType = "minimal"
	DefaultAppMemory     = 1024
	DefaultCellMemory    = 16384
	DefaultAppsPerCell   = 250
	DefaultSpare         = 1
	DefaultQuarantine    = 30
	DefaultErrandNetwork = "default"
	DefaultErrandVMType  = "minimal"
	DefaultClientID      = "private-network-org-isolation"
	DefaultClientSecret  = "((private-network-org-isolation-secret))"
)

// Prefixes are the pools' address spaces.
func (p Platform) Prefixes() []netip.Prefix {
	out := make([]netip.Prefix, len(p.Pools))
	for i, pool := range p.Pools {
		out[i] = pool.CIDR
	}
	return out
}

// Pool returns the pool of an AZ.
func (p Platform) Pool(az string) (Pool, bool) {
	i := slices.IndexFunc(p.Pools, func(pool Pool) bool { return pool.AZ == az })
	if i < 0 {
		return Pool{}, false
	}
	return p.Pools[i], true
}
