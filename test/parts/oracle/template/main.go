// Reads a JSON array of {"source": text/template, "values": {name: base64}} on standard input and
// prints what Go makes of each, with the function set of the original: {"output": base64} or
// {"error": "..."}.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

type question struct {
	Source string            `json:"source"`
	Values map[string][]byte `json:"values"`
}

type answer struct {
	Output []byte `json:"output"`
	Error  string `json:"error,omitempty"`
}

func main() {
	var questions []question
	if err := json.NewDecoder(os.Stdin).Decode(&questions); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	functions := template.FuncMap(sprig.GenericFuncMap())
	for _, name := range []string{"env", "expandenv", "getHostByName"} {
		delete(functions, name)
	}
	answers := make([]answer, len(questions))
	for i, q := range questions {
		values := map[string]string{}
		for name, value := range q.Values {
			values[name] = string(value)
		}
		parsed, err := template.New("t").Funcs(functions).Parse(q.Source)
		if err == nil {
			var output bytes.Buffer
			err = parsed.Execute(&output, values)
			answers[i].Output = output.Bytes()
		}
		if err != nil {
			answers[i].Error = err.Error()
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(answers)
}
