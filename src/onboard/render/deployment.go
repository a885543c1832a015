package render

import (
	"strings"

	"gopkg.in/yaml.v3"

	"privnet/document"
	"privnet/onboard/manifest"
	"privnet/onboard/tree"
)

const deploymentHeading = `# The gateway of %ORG% as a deployment of its own. Written by "privnet render" from the ledger; render
# again instead of editing. Deploy it before the cells, whose jobs consume its link; it consumes nothing of theirs.
#
#   bosh -d %NAME% deploy THIS-FILE
`

type deployment struct {
	Name           string               `yaml:"name"`
	Releases       []any                `yaml:"releases"`
	Stemcells      []*yaml.Node         `yaml:"stemcells"`
	Update         update               `yaml:"update"`
	InstanceGroups []instanceGroup      `yaml:"instance_groups"`
	Variables      []variableDefinition `yaml:"variables"`
}

type update struct {
	Canaries        int    `yaml:"canaries"`
	MaxInFlight     int    `yaml:"max_in_flight"`
	CanaryWatchTime string `yaml:"canary_watch_time"`
	UpdateWatchTime string `yaml:"update_watch_time"`
}

// bpm is the release and the job that our jobs need on their VM.
const bpm = "bpm"

// GatewayDeployment is the manifest of the org's gateway, for an org whose plan says that it has a
// deployment of its own. The stemcell and the releases are those of the platform's manifest. An addon of
// that manifest does not reach another deployment, so bpm is named. The error is document.Problems of
// the manifest.
func GatewayDeployment(in Input, m manifest.Manifest) ([]byte, error) {
	base, problems := cellGroup(in, m)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	group := gatewayGroup(in, base)
	if _, named := base.Job(bpm); !named {
		group.Jobs = append([]any{job{Name: bpm, Release: bpm}}, group.Jobs...)
	}
	stemcell := m.Stemcell(group.Stemcell)
	if stemcell == nil {
		return nil, document.Problems{m.Problem(base.Node, base.Name+".stemcell", "is %s, which is no alias of stemcells; add it", group.Stemcell)}
	}
	name := in.Plan.OwnGatewayDeployment()
	return tree.Write(strings.NewReplacer("%ORG%", in.Plan.Name, "%NAME%", name).Replace(deploymentHeading), deployment{
		Name:           name,
		Releases:       []any{releaseEntry(m, manifest.Release), releaseEntry(m, bpm)},
		Stemcells:      []*yaml.Node{stemcell},
		Update:         update{Canaries: 1, MaxInFlight: 1, CanaryWatchTime: "10000-300000", UpdateWatchTime: "10000-300000"},
		InstanceGroups: []instanceGroup{group},
		Variables:      pskVariables(in),
	}), nil
}
