// Command review prints what Kyverno's own engine answers to requests, asked as its webhook asks it:
// with the object as it was, which `kyverno apply` always makes the same as the new one. The answer is
// JSON: for each request a list of verdicts.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	policies "github.com/kyverno/api/api/policies.kyverno.io/v1beta1"
	"github.com/kyverno/kyverno/pkg/cel/engine"
	"github.com/kyverno/kyverno/pkg/cel/libs"
	"github.com/kyverno/kyverno/pkg/cel/matching"
	"github.com/kyverno/kyverno/pkg/cel/policies/vpol/compiler"
	vpol "github.com/kyverno/kyverno/pkg/cel/policies/vpol/engine"
	admission "k8s.io/api/admission/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// What stdin holds: policies, the namespaces of a cluster, and the requests to judge in turn.
type question struct {
	Policies   []*policies.ValidatingPolicy `json:"policies"`
	Namespaces []core.Namespace             `json:"namespaces"`
	Reviews    []admission.AdmissionReview  `json:"reviews"`
}

type verdict struct {
	Policy  string `json:"policy"`
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	if err := answer(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func answer() error {
	asked, err := readQuestion()
	if err != nil {
		return err
	}
	judge, err := newEngine(asked)
	if err != nil {
		return err
	}
	answers := make([][]verdict, 0, len(asked.Reviews))
	for _, review := range asked.Reviews {
		request := engine.RequestFromAdmission(libs.NewFakeContextProvider(), *review.Request)
		response, err := judge.Handle(context.Background(), request, nil)
		if err != nil {
			return err
		}
		answers = append(answers, verdicts(response))
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

func readQuestion() (question, error) {
	var asked question
	text, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = yaml.UnmarshalStrict(text, &asked)
	}
	return asked, err
}

func newEngine(asked question) (vpol.Engine, error) {
	alike := make([]policies.ValidatingPolicyLike, 0, len(asked.Policies))
	for _, policy := range asked.Policies {
		alike = append(alike, policy)
	}
	provider, err := vpol.NewProvider(compiler.NewCompiler(), alike, nil)
	if err != nil {
		return nil, err
	}
	resolve := func(name string) *core.Namespace {
		for i := range asked.Namespaces {
			if asked.Namespaces[i].Name == name {
				return &asked.Namespaces[i]
			}
		}
		return nil
	}
	return vpol.NewEngine(provider, resolve, matching.NewMatcher()), nil
}

// A policy that does not match has no verdict.
func verdicts(response vpol.EngineResponse) []verdict {
	out := []verdict{}
	for _, policy := range response.Policies {
		for _, rule := range policy.Rules {
			out = append(out, verdict{policy.Policy.GetName(), string(rule.Status()), rule.Message()})
		}
	}
	return out
}
