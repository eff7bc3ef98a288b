// Reads a JSON array of YAML documents on standard input and prints what Kubernetes' own YAML
// library makes of each: {"json": "..."} or {"error": "..."}.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

type answer struct {
	JSON  string `json:"json,omitempty"`
	Error string `json:"error,omitempty"`
}

func main() {
	var documents []string
	if err := json.NewDecoder(os.Stdin).Decode(&documents); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	answers := make([]answer, len(documents))
	for i, document := range documents {
		converted, err := yaml.YAMLToJSON([]byte(document))
		if err != nil {
			answers[i].Error = err.Error()
		} else {
			answers[i].JSON = string(converted)
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(answers)
}
