package sense

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"privnet/doctor/signature"
)

// maxHistory is how many bytes of charon's log are read, from its end.
const maxHistory = 4 << 20

// readLog gives the lines of charon's in a log that package ipsec/charonlog wrote, the oldest first.
func readLog(path string, deliver func(signature.Line)) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading charon's log: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("reading charon's log: %w", err)
	}
	reader := bufio.NewReaderSize(file, 64<<10)
	if info.Size() > maxHistory {
		if _, err := file.Seek(-maxHistory, io.SeekEnd); err != nil {
			return fmt.Errorf("reading charon's log: %w", err)
		}
		if _, err := reader.ReadSlice('\n'); err != nil && err != bufio.ErrBufferFull {
			return nil
		}
	}
	for {
		raw, isPrefix, err := reader.ReadLine()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading charon's log: %w", err)
		}
		if line, ok := parseLog(raw); ok && !isPrefix {
			deliver(line)
		}
	}
}

func parseLog(raw []byte) (signature.Line, bool) {
	var entry struct {
		Time   time.Time `json:"time"`
		Source string    `json:"source"`
		SA     string    `json:"ike_sa"`
		Msg    string    `json:"msg"`
	}
	if json.Unmarshal(raw, &entry) != nil || entry.Source != "charon" {
		return signature.Line{}, false
	}
	return signature.Line{Time: entry.Time, SA: entry.SA, Text: entry.Msg}, true
}
