// Writes bodies.json: objects as Kubernetes' own Go code encodes them, in protobuf and in JSON.
// go mod tidy && go run . > bodies.json
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	authv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func p[T any](v T) *T { return &v }

func main() {
	s := runtime.NewScheme()
	for _, f := range []func(*runtime.Scheme) error{corev1.AddToScheme, batchv1.AddToScheme, coordv1.AddToScheme, policyv1.AddToScheme, schedv1.AddToScheme, authv1.AddToScheme} {
		f(s)
	}
	then := metav1.NewTime(time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC))
	micro := metav1.NewMicroTime(time.Date(2024, 5, 6, 7, 8, 9, 123456000, time.UTC))
	tm := func(k, v string) metav1.TypeMeta { return metav1.TypeMeta{Kind: k, APIVersion: v} }
	objs := []runtime.Object{
		&corev1.Namespace{TypeMeta: tm("Namespace", "v1"), ObjectMeta: metav1.ObjectMeta{Name: "team-a", Labels: map[string]string{"a": "b", "c": ""}, CreationTimestamp: then}},
		&corev1.ConfigMap{TypeMeta: tm("ConfigMap", "v1"), ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "n"}, Data: map[string]string{"k": "v"}, BinaryData: map[string][]byte{"b": {0, 255}}, Immutable: p(false)},
		&corev1.Secret{TypeMeta: tm("Secret", "v1"), ObjectMeta: metav1.ObjectMeta{Name: "s"}, Type: "Opaque", Data: map[string][]byte{"pw": []byte("x")}},
		&corev1.ServiceAccount{TypeMeta: tm("ServiceAccount", "v1"), ObjectMeta: metav1.ObjectMeta{Name: "sa"}, AutomountServiceAccountToken: p(false)},
		&batchv1.Job{TypeMeta: tm("Job", "batch/v1"), ObjectMeta: metav1.ObjectMeta{GenerateName: "pi-", Finalizers: []string{"x/y"}, OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "o", UID: "u", Controller: p(true)}}},
			Spec: batchv1.JobSpec{Suspend: p(true), BackoffLimit: p(int32(0)), Parallelism: p(int32(2)), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				RestartPolicy: "Never", SecurityContext: &corev1.PodSecurityContext{SupplementalGroups: []int64{1, 2}, RunAsUser: p(int64(-1))},
				Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}, {Name: "w", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, DefaultMode: p(int32(420))}}}},
				Containers: []corev1.Container{{Name: "pi", Image: "perl", Command: []string{"sleep", "3s"},
					Env:            []corev1.EnvVar{{Name: "E", Value: ""}, {Name: "F", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, Key: "k"}}}},
					Ports:          []corev1.ContainerPort{{ContainerPort: 80, Protocol: "TCP"}},
					LivenessProbe:  &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromString("http")}}, PeriodSeconds: 5},
					ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(80)}}},
					Resources:      corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("1Gi")}}}},
			}}}, Status: batchv1.JobStatus{Active: 1, StartTime: &then}},
		&schedv1.PriorityClass{TypeMeta: tm("PriorityClass", "scheduling.k8s.io/v1"), ObjectMeta: metav1.ObjectMeta{Name: "low"}, Value: -10, Description: "d", PreemptionPolicy: p(corev1.PreemptNever)},
		&schedv1.PriorityClass{TypeMeta: tm("PriorityClass", "scheduling.k8s.io/v1"), ObjectMeta: metav1.ObjectMeta{Name: "zero"}, GlobalDefault: true},
		&corev1.ResourceQuota{TypeMeta: tm("ResourceQuota", "v1"), ObjectMeta: metav1.ObjectMeta{Name: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"cpu": resource.MustParse("4")}}},
		&metav1.DeleteOptions{TypeMeta: tm("DeleteOptions", "batch/v1"), GracePeriodSeconds: p(int64(0)), PropagationPolicy: p(metav1.DeletePropagationBackground), Preconditions: &metav1.Preconditions{UID: p(corev1.Pod{}.UID)}},
		&corev1.Binding{TypeMeta: tm("Binding", "v1"), ObjectMeta: metav1.ObjectMeta{Name: "p"}, Target: corev1.ObjectReference{Kind: "Node", Name: "n1"}},
		&policyv1.Eviction{TypeMeta: tm("Eviction", "policy/v1"), ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "d"}, DeleteOptions: &metav1.DeleteOptions{GracePeriodSeconds: p(int64(5))}},
		&corev1.Event{TypeMeta: tm("Event", "v1"), ObjectMeta: metav1.ObjectMeta{Name: "e"}, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "p"}, Reason: "R", FirstTimestamp: then, EventTime: micro, Count: 2, ReportingController: "c"},
		&coordv1.Lease{TypeMeta: tm("Lease", "coordination.k8s.io/v1"), ObjectMeta: metav1.ObjectMeta{Name: "l"}, Spec: coordv1.LeaseSpec{HolderIdentity: p("me"), LeaseDurationSeconds: p(int32(15)), RenewTime: &micro}},
		&authv1.SelfSubjectAccessReview{TypeMeta: tm("SelfSubjectAccessReview", "authorization.k8s.io/v1"), Spec: authv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authv1.ResourceAttributes{Verb: "create", Resource: "pods", Namespace: "x"}}},
	}
	ser := protobuf.NewSerializer(s, s)
	type fx struct {
		Protobuf string          `json:"protobuf"`
		JSON     json.RawMessage `json:"json"`
	}
	out := []fx{}
	for _, o := range objs {
		var b bytes.Buffer
		if err := ser.Encode(o, &b); err != nil {
			panic(err)
		}
		j, _ := json.Marshal(o)
		out = append(out, fx{base64.StdEncoding.EncodeToString(b.Bytes()), j})
	}
	fmt.Println("[")
	for i, f := range out {
		l, _ := json.Marshal(f)
		c := ","
		if i == len(out)-1 {
			c = ""
		}
		fmt.Printf("%s%s\n", l, c)
	}
	fmt.Println("]")
}
