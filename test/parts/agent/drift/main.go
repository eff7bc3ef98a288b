// Command drift has the code that Argo CD and Flux run compare objects with a cluster, or apply them.
//
//	drift KUBECONFIG MODE < objects.json
//
// The input is a JSON list of manifests. It prints what the engine says of each, as a JSON object by kind.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/jsondiff"
	"github.com/fluxcd/pkg/ssa/normalize"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

type objects []*unstructured.Unstructured

// engine is one agent with the settings of its makers, connected to a cluster.
type engine struct {
	config *rest.Config
	client client.Client
}

const kustomize = "kustomize-controller"

// As kustomize-controller sets them in `apply`.
func kustomizeOptions() ssa.ApplyOptions {
	options := ssa.DefaultApplyOptions()
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{corev1.LastAppliedConfigAnnotation},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: kustomize, OperationType: metav1.ManagedFieldsOperationUpdate},
		},
	}
	return options
}

func (e *engine) kustomizeManager(targets objects) (*ssa.ResourceManager, error) {
	owner := ssa.Owner{Field: kustomize, Group: "kustomize.toolkit.fluxcd.io"}
	manager := ssa.NewResourceManager(e.client, nil, owner)
	manager.SetOwnerLabels(targets, "app", "flux-system")
	return manager, normalize.UnstructuredList(targets)
}

func (e *engine) kustomizeApply(ctx context.Context, targets objects) (map[string]string, error) {
	manager, err := e.kustomizeManager(targets)
	if err != nil {
		return nil, err
	}
	changes, err := manager.ApplyAllStaged(ctx, targets, kustomizeOptions())
	if err != nil {
		return nil, err
	}
	results := map[string]string{}
	for _, entry := range changes.Entries {
		results[entry.ObjMetadata.GroupKind.Kind] = string(entry.Action)
	}
	return results, nil
}

// As `flux diff kustomization` does.
func (e *engine) kustomizeDiff(ctx context.Context, targets objects) (map[string]string, error) {
	manager, err := e.kustomizeManager(targets)
	if err != nil {
		return nil, err
	}
	results := map[string]string{}
	for _, target := range targets {
		entry, _, _, err := manager.Diff(ctx, target, ssa.DefaultDiffOptions())
		if err != nil {
			return nil, err
		}
		results[target.GetKind()] = string(entry.Action)
	}
	return results, nil
}

// As helm-controller detects drift.
func (e *engine) helmDiff(ctx context.Context, targets objects) (map[string]string, error) {
	if err := normalize.UnstructuredListWithScheme(targets, e.client.Scheme()); err != nil {
		return nil, err
	}
	set, err := jsondiff.UnstructuredList(ctx, client.NewDryRunClient(e.client), targets,
		jsondiff.FieldOwner("helm-controller"), jsondiff.Rationalize(true), jsondiff.Graceful(true))
	if err != nil {
		return nil, err
	}
	results := map[string]string{}
	for _, each := range set {
		results[each.DesiredObject.GetObjectKind().GroupVersionKind().Kind] = string(each.Type)
	}
	return results, nil
}

const argo = "argocd-controller"

func (e *engine) live(ctx context.Context, targets objects) (objects, error) {
	live := objects{}
	for _, target := range targets {
		each := &unstructured.Unstructured{}
		each.SetGroupVersionKind(target.GroupVersionKind())
		err := e.client.Get(ctx, client.ObjectKeyFromObject(target), each)
		if client.IgnoreNotFound(err) != nil {
			return nil, err
		}
		if err != nil {
			each = nil
		}
		live = append(live, each)
	}
	return live, nil
}

// As Argo CD compares: by default, or by one of the two ways that an Application can ask for.
func (e *engine) argoDiff(ctx context.Context, mode string, targets objects) (map[string]string, error) {
	live, err := e.live(ctx, targets)
	if err != nil {
		return nil, err
	}
	kubectl := &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}
	_, parser, err := kubectl.LoadOpenAPISchema(e.config)
	if err != nil {
		return nil, err
	}
	applier, cleanUp, err := kubectl.ManageServerSideDiffDryRuns(e.config)
	if err != nil {
		return nil, err
	}
	defer cleanUp()
	list, err := diff.DiffArray(targets, live,
		diff.WithLogr(logr.Discard()), diff.WithGVKParser(parser), diff.WithManager(argo),
		diff.WithStructuredMergeDiff(mode == "structured"), diff.WithServerSideDiff(mode == "server-side"),
		diff.WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(applier)))
	if err != nil {
		return nil, err
	}
	results := map[string]string{}
	for i, each := range list.Diffs {
		results[targets[i].GetKind()] = "unchanged"
		if each.Modified {
			results[targets[i].GetKind()] = fmt.Sprintf("%s is to be %s", each.NormalizedLive, each.PredictedLive)
		}
	}
	return results, nil
}

// As Argo CD syncs, with pruning: by default, or with the option ServerSideApply or Replace.
func (e *engine) argoSync(ctx context.Context, mode string, targets objects) (map[string]string, error) {
	live, err := e.live(ctx, targets)
	if err != nil {
		return nil, err
	}
	kubectl := &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}
	work, cleanUp, err := sync.NewSyncContext("revision", sync.ReconciliationResult{Live: live, Target: targets},
		e.config, e.config, kubectl, "default",
		sync.WithLogr(logr.Discard()), sync.WithOperationSettings(false, true, false, true),
		sync.WithServerSideApply(mode == "server-side"), sync.WithServerSideApplyManager(argo),
		sync.WithReplace(mode == "replace"))
	if err != nil {
		return nil, err
	}
	defer cleanUp()
	for {
		work.Sync()
		phase, message, synced := work.GetState()
		if !phase.Completed() {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if !phase.Successful() {
			return nil, fmt.Errorf("%s: %s: %v", phase, message, synced)
		}
		results := map[string]string{}
		for _, each := range synced {
			results[each.ResourceKey.Kind] = string(each.Status)
		}
		return results, nil
	}
}

func (e *engine) run(ctx context.Context, mode string, targets objects) (map[string]string, error) {
	agent, way, _ := strings.Cut(mode, " ")
	switch agent {
	case "kustomize-apply":
		return e.kustomizeApply(ctx, targets)
	case "kustomize-diff":
		return e.kustomizeDiff(ctx, targets)
	case "helm-diff":
		return e.helmDiff(ctx, targets)
	case "argo-diff":
		return e.argoDiff(ctx, way, targets)
	case "argo-sync":
		return e.argoSync(ctx, way, targets)
	}
	return nil, fmt.Errorf("unknown mode %q", mode)
}

func main() {
	results, err := drift(context.Background(), os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(results)
}

func drift(ctx context.Context, kubeconfig, mode string) (map[string]string, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	cluster, err := client.New(config, client.Options{})
	if err != nil {
		return nil, err
	}
	var targets objects
	if err := json.NewDecoder(os.Stdin).Decode(&targets); err != nil {
		return nil, err
	}
	e := &engine{config: config, client: cluster}
	return e.run(ctx, mode, targets)
}
