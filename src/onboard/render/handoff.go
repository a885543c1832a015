package render

import "privnet/handoff"

// Handoff are the facts of the org's hand-off page. deployment is the name of the operator's own deployment.
func Handoff(in Input, deployment string) handoff.Facts {
	counting := generations(in.Request)
	out := handoff.Facts{
		Org: in.Plan.Name, Endpoint: in.Request.Endpoint, PrivateNetworks: in.Request.PrivateNetworks,
		IKE: in.Request.IKE, Policy: in.Request.Policy, Inbound: in.Request.Inbound, DNS: in.Request.DNS,
		Segment: in.Plan.CIDRs(), EgressAddresses: in.Platform.EgressAddresses,
		IsolationSegment: in.Plan.Names().IsolationSegment, Deployment: deployment,
		// The newest key is the one that the customer is to have.
		PSKVariable: PSKVariable(in.Plan, counting[len(counting)-1]),
	}
	if own := in.Plan.OwnGatewayDeployment(); own != "" {
		out.Deployment = own
	}
	for _, g := range in.Plan.Gateways {
		out.Gateways = append(out.Gateways, g.PublicAddress)
	}
	return out
}
