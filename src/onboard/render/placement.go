package render

import (
	"privnet/onboard/jobs"
)

// Placement says which of the release's jobs an org's group has.
type Placement struct {
	Group string
	// Instances is the number of the group's VMs; 0 for an errand's, whose VM lives only while it runs.
	Instances int
	Places    []jobs.Place
}

// Placements are the org's groups as Ops, or GatewayDeployment, renders them: gateway, cells, errand.
func Placements(in Input) []Placement {
	names := in.Plan.Names()
	out := []Placement{
		{names.GatewayGroup, len(in.Plan.Gateways), places(ourGatewayJobs(in))},
		{names.CellGroup, in.Plan.Cells, places(ourCellJobs(in, ""))},
	}
	if in.Platform.OrgIsolation != nil {
		out = append(out, Placement{IsolationGroup(in.Plan), 0, places([]job{isolationJob(in)})})
	}
	return out
}

func places(of []job) []jobs.Place {
	out := make([]jobs.Place, len(of))
	for i, j := range of {
		out[i].Job = j.Name
		if properties, ok := j.Properties.(roleProperties); ok {
			out[i].Role = properties.Role
		}
	}
	return out
}

// PSKVariables are the names in the manifest of the keys that count.
func PSKVariables(in Input) []string {
	var out []string
	for _, generation := range generations(in.Request) {
		out = append(out, PSKVariable(in.Plan, generation))
	}
	return out
}
