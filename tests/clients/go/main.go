// Command clients does with client-go what controllers do, and checks what it sees: typed and
// dynamic clients, informers that begin with a WatchList, leader election. It prints a line for each
// part that held, and ends with 1 and the reason when one did not.
//
// Usage: clients KUBECONFIG NAMESPACE
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/features"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/retry"
)

const patience = 30 * time.Second

// clients are the ways into one namespace of a server.
type clients struct {
	config    *rest.Config
	typed     *kubernetes.Clientset
	dynamic   dynamic.Interface
	namespace string
}

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(kubeconfig, namespace string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	c := clients{config: config, namespace: namespace}
	if c.typed, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if c.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience)
	defer cancel()
	parts := []struct {
		name string
		play func(context.Context) error
	}{
		{"typed", c.typedClient},
		{"errors", c.refusals},
		{"pages", c.pages},
		{"informers", c.informers},
		{"dynamic", c.dynamicClient},
		{"mapper", c.mapper},
		{"eviction", c.eviction},
		{"leader election", c.election},
	}
	for _, part := range parts {
		if err := part.play(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Println(part.name)
	}
	return nil
}

// expect is an error that says what was seen, unless it holds.
func expect(holds bool, format string, seen ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, seen...)
}

// until waits for the condition.
func until(ctx context.Context, what string, holds func() bool) error {
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, patience, true,
		func(context.Context) (bool, error) { return holds(), nil })
	if err != nil {
		return fmt.Errorf("never seen: %s", what)
	}
	return nil
}

func configMap(name string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Data:       map[string]string{"k": "v"},
	}
}

func podSpec() corev1.PodSpec {
	return corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever,
		Containers:    []corev1.Container{{Name: "main", Image: "busybox"}},
	}
}

// typedClient writes in protobuf, as client-go's typed clients may.
func (c clients) typedClient(ctx context.Context) error {
	config := rest.CopyConfig(c.config)
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	jobs := typed.BatchV1().Jobs(c.namespace)
	suspend := true
	made, err := jobs.Create(ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "job-"},
		Spec: batchv1.JobSpec{
			Suspend:  &suspend,
			Template: corev1.PodTemplateSpec{Spec: podSpec()},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if err := expect(made.Spec.Selector != nil && *made.Spec.Parallelism == 1 && made.Generation == 1,
		"the job is not complete: %v", made); err != nil {
		return err
	}
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		current, err := jobs.Get(ctx, made.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		*current.Spec.Suspend = false
		_, err = jobs.Update(ctx, current, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	current, err := jobs.Get(ctx, made.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	current.Status.Active = 1
	changed, err := jobs.UpdateStatus(ctx, current, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	if err := expect(changed.Status.Active == 1 && !*changed.Spec.Suspend && changed.Generation == 2,
		"the job did not change: %v", changed); err != nil {
		return err
	}
	patch := []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"other"}]}}}}`)
	_, err = jobs.Patch(ctx, made.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if err := expect(apierrors.IsInvalid(err), "an image that may not change: %v", err); err != nil {
		return err
	}
	background := metav1.DeletePropagationBackground
	options := metav1.DeleteOptions{PropagationPolicy: &background, Preconditions: &metav1.Preconditions{UID: &made.UID}}
	return jobs.Delete(ctx, made.Name, options)
}

// refusals checks that client-go tells the errors apart.
func (c clients) refusals(ctx context.Context) error {
	maps := c.typed.CoreV1().ConfigMaps(c.namespace)
	made, err := maps.Create(ctx, configMap("refused", nil), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	stale := made.DeepCopy()
	made.Data["k"] = "w"
	if _, err := maps.Update(ctx, made, metav1.UpdateOptions{}); err != nil {
		return err
	}
	other := types.UID("00000000-0000-4000-8000-000000000000")
	_, missing := maps.Get(ctx, "absent", metav1.GetOptions{})
	_, twice := maps.Create(ctx, configMap("refused", nil), metav1.CreateOptions{})
	_, conflict := maps.Update(ctx, stale, metav1.UpdateOptions{})
	_, invalid := maps.Create(ctx, configMap("No_Name", nil), metav1.CreateOptions{})
	_, malformed := maps.List(ctx, metav1.ListOptions{LabelSelector: "a b"})
	_, closed := c.typed.CoreV1().ConfigMaps("absent").Create(ctx, configMap("a", nil), metav1.CreateOptions{})
	precondition := maps.Delete(ctx, "refused", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &other}})
	return errors.Join(
		expect(apierrors.IsNotFound(missing), "missing: %v", missing),
		expect(apierrors.IsAlreadyExists(twice), "twice: %v", twice),
		expect(apierrors.IsConflict(conflict), "conflict: %v", conflict),
		expect(apierrors.IsInvalid(invalid), "invalid: %v", invalid),
		expect(apierrors.IsBadRequest(malformed), "malformed: %v", malformed),
		expect(apierrors.IsNotFound(closed), "no namespace: %v", closed),
		expect(apierrors.IsConflict(precondition), "precondition: %v", precondition),
	)
}

// pages lists in pages and watches from the version of the list.
func (c clients) pages(ctx context.Context) error {
	maps := c.typed.CoreV1().ConfigMaps(c.namespace)
	label := map[string]string{"part": "pages"}
	for _, name := range []string{"p1", "p2", "p3"} {
		if _, err := maps.Create(ctx, configMap(name, label), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	seen, version := 0, ""
	options := metav1.ListOptions{LabelSelector: "part=pages", Limit: 2}
	for {
		page, err := maps.List(ctx, options)
		if err != nil {
			return err
		}
		seen, version = seen+len(page.Items), page.ResourceVersion
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
	}
	if err := expect(seen == 3, "3 objects listed as %d", seen); err != nil {
		return err
	}
	watch, err := maps.Watch(ctx, metav1.ListOptions{LabelSelector: "part=pages", ResourceVersion: version})
	if err != nil {
		return err
	}
	defer watch.Stop()
	if err := maps.Delete(ctx, "p2", metav1.DeleteOptions{}); err != nil {
		return err
	}
	event := <-watch.ResultChan()
	gone, ok := event.Object.(*corev1.ConfigMap)
	return expect(ok && event.Type == "DELETED" && gone.Name == "p2", "not the deletion: %v", event)
}

// informers follow typed objects; client-go of this version begins them with a WatchList.
func (c clients) informers(ctx context.Context) error {
	on := features.FeatureGates().Enabled(features.WatchListClient)
	if err := expect(on, "WatchList is not on"); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var added, updated, deleted atomic.Int32
	factory := informers.NewSharedInformerFactoryWithOptions(c.typed, 0, informers.WithNamespace(c.namespace))
	maps := factory.Core().V1().ConfigMaps()
	_, err := maps.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { added.Add(1) },
		UpdateFunc: func(any, any) { updated.Add(1) },
		DeleteFunc: func(any) { deleted.Add(1) },
	})
	if err != nil {
		return err
	}
	// Informers of other kinds that controllers follow have to begin too.
	factory.Core().V1().Pods().Informer()
	factory.Core().V1().Nodes().Informer()
	factory.Batch().V1().Jobs().Informer()
	factory.Scheduling().V1().PriorityClasses().Informer()
	factory.Coordination().V1().Leases().Informer()
	present, err := c.typed.CoreV1().ConfigMaps(c.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	within, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for kind, synced := range factory.WaitForCacheSync(within.Done()) {
		if err := expect(synced, "no initial state of %v", kind); err != nil {
			return err
		}
	}
	if err := until(ctx, "what there was", func() bool { return int(added.Load()) == len(present.Items) }); err != nil {
		return err
	}
	typed := c.typed.CoreV1().ConfigMaps(c.namespace)
	made, err := typed.Create(ctx, configMap("followed", nil), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	made.Data["k"] = "w"
	if _, err := typed.Update(ctx, made, metav1.UpdateOptions{}); err != nil {
		return err
	}
	err = until(ctx, "the change in the cache", func() bool {
		found, err := maps.Lister().ConfigMaps(c.namespace).Get("followed")
		return err == nil && found.Data["k"] == "w"
	})
	if err != nil {
		return err
	}
	if err := typed.Delete(ctx, "followed", metav1.DeleteOptions{}); err != nil {
		return err
	}
	err = until(ctx, "one addition, change and deletion", func() bool {
		return int(added.Load()) == len(present.Items)+1 && updated.Load() == 1 && deleted.Load() == 1
	})
	if err != nil {
		return fmt.Errorf("%w; seen: %d, %d, %d", err, added.Load(), updated.Load(), deleted.Load())
	}
	return nil
}

var (
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	gadgets     = schema.GroupVersionResource{Group: "clients.example.com", Version: "v1", Resource: "gadgets"}
)

func gadget(name string, size int64) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "clients.example.com/v1",
		"kind":       "Gadget",
		"metadata":   map[string]any{"name": name},
		"spec":       map[string]any{"size": size},
	}}
}

func definition() *unstructured.Unstructured {
	open := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1",
		"kind":       "CustomResourceDefinition",
		"metadata":   map[string]any{"name": "gadgets.clients.example.com"},
		"spec": map[string]any{
			"group": "clients.example.com",
			"scope": "Namespaced",
			"names": map[string]any{"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true,
				"subresources": map[string]any{"status": map[string]any{}},
				"schema":       map[string]any{"openAPIV3Schema": open},
			}},
		},
	}}
}

// dynamicClient makes a kind, and follows and changes its objects.
func (c clients) dynamicClient(ctx context.Context) error {
	if _, err := c.dynamic.Resource(definitions).Create(ctx, definition(), metav1.CreateOptions{}); err != nil {
		return err
	}
	objects := c.dynamic.Resource(gadgets).Namespace(c.namespace)
	err := until(ctx, "the new kind", func() bool {
		_, err := objects.List(ctx, metav1.ListOptions{})
		return err == nil
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(c.dynamic, 0, c.namespace, nil)
	informer := factory.ForResource(gadgets)
	informer.Informer()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	made, err := objects.Create(ctx, gadget("one", 1), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if err := unstructured.SetNestedField(made.Object, "Ready", "status", "phase"); err != nil {
		return err
	}
	if made, err = objects.UpdateStatus(ctx, made, metav1.UpdateOptions{}); err != nil {
		return err
	}
	applied, err := objects.Apply(ctx, "one", gadget("one", 2), metav1.ApplyOptions{FieldManager: "clients", Force: true})
	if err != nil {
		return err
	}
	size, _, _ := unstructured.NestedInt64(applied.Object, "spec", "size")
	phase, _, _ := unstructured.NestedString(applied.Object, "status", "phase")
	if err := expect(size == 2 && phase == "Ready" && len(applied.GetManagedFields()) > 0, "applied: %v", applied); err != nil {
		return err
	}
	return until(ctx, "the object in the cache", func() bool {
		found, err := informer.Lister().ByNamespace(c.namespace).Get("one")
		if err != nil {
			return false
		}
		accessor, err := meta.Accessor(found)
		return err == nil && accessor.GetResourceVersion() == applied.GetResourceVersion()
	})
}

// mapper finds resources by kind, through discovery.
func (c clients) mapper(context.Context) error {
	found := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.typed.Discovery()))
	for kind, plural := range map[schema.GroupKind]string{
		{Group: "batch", Kind: "Job"}:                  "jobs",
		{Kind: "Pod"}:                                  "pods",
		{Group: "clients.example.com", Kind: "Gadget"}: "gadgets",
	} {
		mapping, err := found.RESTMapping(kind)
		if err != nil {
			return err
		}
		if err := expect(mapping.Resource.Resource == plural, "%v is %v", kind, mapping.Resource); err != nil {
			return err
		}
	}
	return nil
}

// eviction takes a pod away by the subresource.
func (c clients) eviction(ctx context.Context) error {
	pods := c.typed.CoreV1().Pods(c.namespace)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "evicted"}, Spec: podSpec()}
	if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return err
	}
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "evicted", Namespace: c.namespace}}
	if err := pods.EvictV1(ctx, eviction); err != nil {
		return err
	}
	_, err := pods.Get(ctx, "evicted", metav1.GetOptions{})
	return expect(apierrors.IsNotFound(err), "the pod is still there: %v", err)
}

// election has one leader of two, and the other one after it has gone.
func (c clients) election(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	leads := make(chan string, 2)
	run := func(ctx context.Context, name string) {
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: &resourcelock.LeaseLock{
				LeaseMeta:  metav1.ObjectMeta{Name: "leader", Namespace: c.namespace},
				Client:     c.typed.CoordinationV1(),
				LockConfig: resourcelock.ResourceLockConfig{Identity: name},
			},
			LeaseDuration:   3 * time.Second,
			RenewDeadline:   2 * time.Second,
			RetryPeriod:     200 * time.Millisecond,
			ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) { leads <- name; <-ctx.Done() },
				OnStoppedLeading: func() {},
			},
		})
	}
	first, step := context.WithCancel(ctx)
	defer step()
	go run(first, "first")
	if name, err := next(leads); err != nil || name != "first" {
		return fmt.Errorf("led by %q: %w", name, err)
	}
	go run(ctx, "second")
	lease, err := c.typed.CoordinationV1().Leases(c.namespace).Get(ctx, "leader", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := expect(*lease.Spec.HolderIdentity == "first", "held by %v", lease.Spec); err != nil {
		return err
	}
	step()
	name, err := next(leads)
	if err != nil {
		return err
	}
	return expect(name == "second", "then led by %q", name)
}

func next(leads <-chan string) (string, error) {
	select {
	case name := <-leads:
		return name, nil
	case <-time.After(patience):
		return "", errors.New("nobody leads")
	}
}
