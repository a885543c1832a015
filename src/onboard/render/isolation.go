package render

import (
	"strings"

	"privnet/onboard/manifest"
	"privnet/onboard/plan"
	"privnet/onboard/removal"
	"privnet/onboard/tree"
)

// errandGroup is an instance group whose VM lives only while its errand runs.
type errandGroup struct {
	Name      string              `yaml:"name"`
	Lifecycle string              `yaml:"lifecycle"`
	AZs       []string            `yaml:"azs"`
	Instances int                 `yaml:"instances"`
	VMType    string              `yaml:"vm_type"`
	Stemcell  string              `yaml:"stemcell"`
	Networks  []map[string]string `yaml:"networks"`
	Jobs      []job               `yaml:"jobs"`
}

// isolationProperties are those of the job org-isolation, without the ones that have their default value.
type isolationProperties struct {
	Org              string `yaml:"org,omitempty"`
	APIURL           string `yaml:"api_url"`
	APICACertificate string `yaml:"api_ca_certificate,omitempty"`
	ClientID         string `yaml:"client_id"`
	ClientSecret     string `yaml:"client_secret"`
	Remove           bool   `yaml:"remove,omitempty"`
	RestartApps      bool   `yaml:"restart_apps,omitempty"`
}

// IsolationGroup is the group of the org's errand org-isolation.
func IsolationGroup(p plan.Plan) string { return "org-isolation-" + p.Name }

// isolation are the operations for the errand org-isolation, in a group of its own, since it administers
// Cloud Foundry; none where the platform file does not say how to reach that.
func isolation(in Input, m manifest.Manifest, base manifest.Group) []operation {
	settings := in.Platform.OrgIsolation
	if settings == nil {
		return nil
	}
	group := errandGroup{
		Name: IsolationGroup(in.Plan), Lifecycle: "errand", AZs: []string{settings.AZ}, Instances: 1, VMType: settings.VMType,
		Stemcell: tree.Text(base.Node, "stemcell"), Networks: []map[string]string{{"name": settings.Network}},
		Jobs: []job{isolationJob(in)},
	}
	out := []operation{replace("/instance_groups/name="+group.Name+"?", group)}
	for _, g := range m.Groups() {
		if _, ok := g.Job("uaa"); ok {
			out = append(out, replace(jobPath(g.Name, "uaa")+"/properties/uaa/clients/"+settings.ClientID+"?", map[string]string{
				"authorities": "cloud_controller.admin", "authorized-grant-types": "client_credentials", "secret": settings.ClientSecret,
			}))
		}
	}
	// A variable of another deployment, or the operator's own, is not ours to define.
	name, _, part := strings.Cut(strings.Trim(settings.ClientSecret, "()"), ".")
	if definition := m.Variable(name); definition != nil {
		out = append(out, variable(definition))
	} else if !part && !strings.HasPrefix(name, "/") {
		out = append(out, variable(tree.Of(map[string]string{"name": name, "type": "password"})))
	}
	return out
}

// isolationJob is the errand. Of an org that is leaving it takes the apps out.
func isolationJob(in Input) job {
	properties := isolationProperties{}
	if in.Request.Org != in.Plan.Name {
		properties.Org = in.Request.Org
	}
	if settings := in.Platform.OrgIsolation; settings != nil {
		properties.APIURL, properties.APICACertificate = settings.APIURL, settings.APICACertificate
		properties.ClientID, properties.ClientSecret = settings.ClientID, settings.ClientSecret
	}
	if in.Removal.Next() == removal.Apps {
		properties.Remove, properties.RestartApps = true, true
	}
	return job{Name: "org-isolation", Release: manifest.Release, Properties: properties, Consumes: map[string]any{
		"private-network": linkFrom{From: in.Plan.Names().Link, Deployment: in.Plan.OwnGatewayDeployment(), IPAddresses: true},
	}}
}
