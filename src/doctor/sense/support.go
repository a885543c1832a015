package sense

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"privnet/doctor/bundle"
	"privnet/doctor/signature"
)

// commands show the VM's network. None prints a key; ip xfrm state would.
var commands = []string{
	"ip -details address", "ip route show table all", "ip rule", "ip neighbour", "ip xfrm policy",
	"iptables-save", "iptables-legacy-save", "nft list ruleset", "uname -a",
}

// Support gathers the files of a support archive, not yet redacted, and the secrets that must not be in it.
func (s Senses) Support(ctx context.Context) (files []bundle.File, secrets []string) {
	add := func(name string, data []byte, err error) {
		if err != nil {
			data = fmt.Appendf(data, "\n%s\n", err)
		}
		files = append(files, bundle.File{Name: name, Data: data})
	}
	for _, command := range commands {
		words := strings.Fields(command)
		limited, cancel := context.WithTimeout(ctx, patience)
		output, err := exec.CommandContext(limited, words[0], words[1:]...).CombinedOutput()
		cancel()
		add("commands/"+strings.ReplaceAll(command, " ", "_")+".txt", output, err)
	}
	for _, path := range []string{
		s.Enforcer, s.Gateway.Config, filepath.Join(s.Gateway.Data, "strongswan.conf"),
		filepath.Join(s.Gateway.Data, "swanctl", "swanctl.conf"), "/proc/net/xfrm_stat", "/proc/net/dev",
	} {
		if data, err := os.ReadFile(path); err == nil {
			add("files/"+strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "_"), data, nil)
		}
	}
	var log strings.Builder
	err := readLog(s.Log, func(l signature.Line) {
		fmt.Fprintf(&log, "%s <%s> %s\n", l.Time.Format(time.RFC3339Nano), l.SA, l.Text)
	})
	add("charon.log", []byte(log.String()), err)
	sas, err := listSAs(ctx, s.Gateway.Socket())
	data, _ := json.MarshalIndent(sas, "", "  ")
	add("sas.json", data, err)
	return files, s.secrets()
}

// shortestSecret is shorter than any key, and longer than what else the file of keys holds.
const shortestSecret = 24

// secrets are every text in the file of keys that could be one, also if the file is wrong.
func (s Senses) secrets() []string {
	data, err := os.ReadFile(s.Gateway.Key)
	if err != nil {
		return nil
	}
	var fields map[string]any
	if json.Unmarshal(data, &fields) != nil {
		return nil
	}
	var out []string
	for _, value := range fields {
		if text, ok := value.(string); ok && len(text) >= shortestSecret {
			out = append(out, text)
		}
	}
	return out
}
