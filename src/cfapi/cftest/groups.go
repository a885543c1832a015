package cftest

import (
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
)

// Group is a security group. Running and Staging are the GUIDs of the spaces that it is bound to.
type Group struct {
	GUID, Name       string
	Rules            []Rule
	Running, Staging []string
	GlobalRunning    bool
}

// Rule is a rule of a security group, as the API has it.
type Rule struct {
	Protocol    string `json:"protocol"`
	Destination string `json:"destination"`
	Ports       string `json:"ports,omitempty"`
	Type        *int   `json:"type,omitempty"`
	Code        *int   `json:"code,omitempty"`
	Description string `json:"description,omitempty"`
	Log         *bool  `json:"log,omitempty"`
}

func (g *Group) guid() string { return g.GUID }

// AddGroup makes a security group.
func (s *Server) AddGroup(group Group) *Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	group.GUID = newGUID()
	s.groups = append(s.groups, &group)
	return &group
}

// Group is the security group of that name as it is now, or nil.
func (s *Server) Group(name string) *Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, group := range s.groups {
		if group.Name == name {
			copied := *group
			return &copied
		}
	}
	return nil
}

func (g *Group) present() map[string]any {
	rules := g.Rules
	if rules == nil {
		rules = []Rule{}
	}
	return map[string]any{
		"guid": g.GUID, "name": g.Name, "rules": rules,
		"globally_enabled": map[string]any{"running": g.GlobalRunning, "staging": false},
		"relationships":    map[string]any{"running_spaces": presentMany(g.Running), "staging_spaces": presentMany(g.Staging)},
	}
}

func (s *Server) listGroups(r *http.Request) answer {
	var rows []row
	for _, group := range s.groups {
		rows = append(rows, row{group.present(), map[string][]string{"names": {group.Name}, "guids": {group.GUID}}})
	}
	return s.list(r, rows, "names", "guids", "running_space_guids", "staging_space_guids")
}

type groupBody struct {
	Name  string `json:"name"`
	Rules []Rule `json:"rules"`
}

func (s *Server) createGroup(r *http.Request) answer {
	var body groupBody
	if refused, fine := decode(r, &body); !fine {
		return refused
	}
	if slices.ContainsFunc(s.groups, func(group *Group) bool { return group.Name == body.Name }) {
		return unprocessable("Security group with name '%s' already exists.", body.Name)
	}
	if wrong := check(body.Rules); wrong != "" {
		return unprocessable("%s", wrong)
	}
	group := &Group{GUID: newGUID(), Name: body.Name, Rules: body.Rules}
	s.groups = append(s.groups, group)
	return created(group.present())
}

func (s *Server) updateGroup(r *http.Request) answer {
	group := find(s.groups, r.PathValue("guid"))
	if group == nil {
		return notFound("Security group")
	}
	var body groupBody
	if refused, fine := decode(r, &body); !fine {
		return refused
	}
	if wrong := check(body.Rules); wrong != "" {
		return unprocessable("%s", wrong)
	}
	if body.Rules != nil {
		group.Rules = body.Rules
	}
	return ok(group.present())
}

var (
	portRange = regexp.MustCompile(`^\d+-\d+$`)
	portList  = regexp.MustCompile(`^\d+(,\d+)*$`)
)

// check is the API's validation of rules.
func check(rules []Rule) string {
	for i, rule := range rules {
		prefix := fmt.Sprintf("Rules[%d]: ", i)
		if _, err := netip.ParsePrefix(rule.Destination); err != nil {
			return prefix + "destination must be a valid CIDR, IP address, or IP address range"
		}
		switch rule.Protocol {
		case "tcp", "udp":
			if !portRange.MatchString(rule.Ports) && !portList.MatchString(rule.Ports) {
				return prefix + "ports must be a valid single port, comma separated list of ports, or range or ports, formatted as a string"
			}
		case "icmp":
			if rule.Type == nil || rule.Code == nil {
				return prefix + "type and code are required for protocols of type ICMP"
			}
		case "all":
			if rule.Ports != "" {
				return prefix + "ports are not allowed for protocols of type all"
			}
		default:
			return prefix + "protocol must be 'tcp', 'udp', 'icmp', or 'all'"
		}
	}
	return ""
}

func (s *Server) bindRunning(r *http.Request) answer {
	return s.bind(r, func(group *Group) *[]string { return &group.Running })
}

func (s *Server) bindStaging(r *http.Request) answer {
	return s.bind(r, func(group *Group) *[]string { return &group.Staging })
}

func (s *Server) bind(r *http.Request, list func(*Group) *[]string) answer {
	group := find(s.groups, r.PathValue("guid"))
	if group == nil {
		return notFound("Security group")
	}
	var body toMany
	if refused, fine := decode(r, &body); !fine {
		return refused
	}
	for _, guid := range body.guids() {
		if find(s.spaces, guid) == nil {
			return unprocessable("Spaces with guids [%q] do not exist, or you do not have access to them.", guid)
		}
	}
	bound := list(group)
	for _, guid := range body.guids() {
		if !slices.Contains(*bound, guid) {
			*bound = append(*bound, guid)
		}
	}
	return ok(presentMany(*bound))
}

// deleteGroup is done by a job, as in the Cloud Controller.
func (s *Server) deleteGroup(r *http.Request) answer {
	group := find(s.groups, r.PathValue("guid"))
	if group == nil {
		return notFound("Security group")
	}
	return s.start("security_group.delete", func() {
		s.groups = slices.DeleteFunc(s.groups, func(one *Group) bool { return one == group })
	})
}

// job is something that takes a few questions to be done.
type job struct {
	operation string
	questions int
	do        func()
}

// jobQuestions is how often a job is asked for before it is done.
const jobQuestions = 3

// FailJobs lets every job fail from now on.
func (s *Server) FailJobs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs = nil
}

func (s *Server) start(operation string, do func()) answer {
	guid := newGUID()
	if s.jobs != nil {
		s.jobs[guid] = &job{operation: operation, do: do}
	}
	return answer{status: http.StatusAccepted, location: s.URL + "/v3/jobs/" + guid}
}

func (s *Server) getJob(r *http.Request) answer {
	guid := r.PathValue("guid")
	present := func(state string, errors ...any) answer {
		return ok(map[string]any{"guid": guid, "state": state, "errors": append([]any{}, errors...), "warnings": []any{}})
	}
	if s.jobs == nil {
		return present("FAILED", map[string]any{"code": 10008, "title": "CF-UnprocessableEntity", "detail": "something went wrong"})
	}
	running := s.jobs[guid]
	if running == nil {
		return notFound("Job")
	}
	if running.questions++; running.questions < jobQuestions {
		return present("PROCESSING")
	}
	if running.questions == jobQuestions {
		running.do()
	}
	return present("COMPLETE")
}
